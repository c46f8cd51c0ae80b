"""PSF fields, PSFs by parameters, and captures through them."""

import json
import math
import zipfile

import numpy as np
import pytest
import torch

from dirtypixels.blur import Blur, FieldBlur
from dirtypixels.camera import POSITIONS, Camera, ProfileFile, PsfField, disk_psf, gaussian_psf, motion_psf

PROFILE = {
    "schema_version": 1,
    "name": "toy",
    "noise": {"gains": [{"iso": 100, "alpha": 0.001, "sigma": 0.01}], "source": "made up"},
    "exposure": {"reference_lux": 100, "base_iso": 100, "source": "made up"},
    "optics": {"rows": 3, "columns": 3, "pitch_um": 1.5, "source": "made up"},
}


def field(rows=3, columns=3, channels=3, size=5, seed=0):
    psfs = torch.rand(rows, columns, channels, size, size, generator=torch.Generator().manual_seed(seed))
    return psfs / psfs.sum((-2, -1), keepdim=True)


@pytest.fixture
def camera():
    return Camera(ProfileFile.model_validate(PROFILE), field())


@pytest.fixture
def scene():
    return torch.rand(2, 3, 24, 27, generator=torch.Generator().manual_seed(1))


class TestPsfField:
    def test_nodes_are_what_was_put_in(self):
        psfs = field(4, 5)
        lens = PsfField(psfs, "made up", 1.0)
        for i in range(4):
            for j in range(5):
                torch.testing.assert_close(lens.at((i / 3, j / 4)), psfs[i, j])

    def test_between_nodes_it_interpolates_both_ways(self):
        psfs = field(3, 3)
        lens = PsfField(psfs, "made up", 1.0)
        torch.testing.assert_close(lens.at((0.25, 0.25)), psfs[:2, :2].mean((0, 1)))
        torch.testing.assert_close(lens.at((0.5, 0.875)), 0.25 * psfs[1, 1] + 0.75 * psfs[1, 2])

    @pytest.mark.parametrize(("name", "place"), list(POSITIONS.items()))
    def test_named_places(self, name, place):
        lens = PsfField(field(), "made up", 1.0)
        torch.testing.assert_close(lens.at(name), lens.at(place), rtol=0, atol=0)
        assert place == {"center": (0.5, 0.5), "offaxis": (0.9, 0.9), "periphery": (1.0, 1.0)}[name]

    def test_asked_for_in_inference_mode_it_serves_training_later(self):
        lens = PsfField(field(), "made up", 1.0)
        with torch.inference_mode():
            lens.at("center")
        weight = torch.ones((), requires_grad=True)
        (weight * lens.at("center")).sum().backward()
        assert float(weight.grad) == pytest.approx(3)

    def test_places_are_kept_but_not_without_limit(self):
        lens = PsfField(field(), "made up", 1.0)
        named = {name: lens.at(name) for name in POSITIONS}
        places = [(i / 999, 0.3) for i in range(1000)]
        for place in places:
            assert lens.at(place) is lens.at(place)
        assert len(lens._found) < 50
        assert all(lens.at(name) is psf for name, psf in named.items())
        torch.testing.assert_close(lens.at(places[0]), lens.at((0.0, 0.3)), rtol=0, atol=0)

    @pytest.mark.parametrize("position", ["corner", (1.1, 0.5), (0.5,), (math.nan, 0.5)])
    def test_refuses_other_places(self, position):
        with pytest.raises(ValueError, match="position must be"):
            PsfField(field(), "made up", 1.0).at(position)

    @pytest.mark.parametrize(
        ("psfs", "pitch", "said"),
        [
            (field(1, 3), 1.0, "at least 2 rows"),
            (field(), 0.0, "pitch_um"),
            (field() * 2, 1.0, "sum to 1"),
            (field(channels=2), 1.0, "psfs must have shape"),
        ],
    )
    def test_refuses_what_is_no_field(self, psfs, pitch, said):
        with pytest.raises(ValueError, match=said):
            PsfField(psfs, "made up", pitch)


class TestParametricPsfs:
    @pytest.mark.parametrize("std", [0.7, 1.0, 2.5])
    def test_gaussian_has_its_variance(self, std):
        psf = gaussian_psf(std).double()
        at = torch.arange(psf.shape[-1]) - psf.shape[-1] // 2
        # A pixel's own width adds 1/12 (Sheppard), and four standard deviations leave out 0.1 % of the variance.
        assert float((psf[0].sum(0) * at**2).sum()) == pytest.approx(std**2 + 1 / 12, rel=3e-3)

    @pytest.mark.parametrize("radius", [0.5, 2.0, 4.3])
    def test_disk_is_even_inside_and_nothing_outside(self, radius):
        psf = disk_psf(radius)[0]
        half = psf.shape[-1] // 2
        at = torch.arange(-half, half + 1)
        far = (at[:, None] ** 2 + at**2).sqrt()
        if radius > 1:
            inside = psf[far < radius - 0.75]
            # Area by 225 samples a pixel: the number of samples in the disk is off by less than its circumference.
            assert torch.allclose(inside, torch.tensor(1 / (math.pi * radius**2)), rtol=0.02)
        assert float(psf[far > radius + 0.75].abs().sum()) == 0

    @pytest.mark.parametrize(("length", "angle"), [(1.0, 0.0), (7.5, 0.0), (9.0, 30.0), (6.0, 90.0), (6.0, 135.0)])
    def test_motion_has_its_length_and_direction(self, length, angle):
        psf = motion_psf(length, angle)[0].double()
        half = psf.shape[-1] // 2
        at = torch.arange(-half, half + 1).double()
        down, across = at[:, None].expand_as(psf), at.expand_as(psf)
        assert abs(float((psf * down).sum())) < 1e-6
        assert abs(float((psf * across).sum())) < 1e-6
        along = across * math.cos(math.radians(angle)) - down * math.sin(math.radians(angle))
        # Sharing a point between the pixels around it adds at most 1/4 to the variance, and never takes any away.
        variance = float((psf * along**2).sum())
        assert length**2 / 12 - 1e-3 <= variance <= length**2 / 12 + 0.26

    @pytest.mark.parametrize("make", [gaussian_psf, disk_psf, motion_psf])
    def test_are_psfs_and_refuse_what_is_not_above_zero(self, make):
        psf = make(2.2)
        assert psf.shape[0] == 1
        assert psf.shape[1] % 2 == 1
        assert float(psf.sum()) == pytest.approx(1, abs=1e-6)
        assert float(psf.min()) >= 0
        for wrong in (0.0, -1.0, math.inf, math.nan):
            with pytest.raises(ValueError, match="above 0"):
                make(wrong)


class TestCapture:
    def test_blurs_before_the_noise(self, camera, scene):
        obs = camera.capture(scene, lux=math.inf, position="offaxis")
        psf = camera.psf("offaxis")[None]
        torch.testing.assert_close(obs.signal, Blur(psf, "mirror").forward(scene).clamp(0, 1))
        torch.testing.assert_close(obs.psf, psf)
        # With noise its variance is that of the blurred light, not a blurred noise: neighbors are uncorrelated.
        flat = torch.full((1, 3, 200, 200), 0.4)
        noise = (
            camera.capture(flat, lux=100, position="offaxis", generator=torch.Generator().manual_seed(0)).signal - 0.4
        )
        level = camera.noise.at_lux(100)
        count = noise.numel()
        assert float(noise.var()) == pytest.approx(
            float(level.alpha) * 0.4 + float(level.sigma) ** 2, rel=5 * (2 / count) ** 0.5
        )
        across = float((noise[..., 1:] * noise[..., :-1]).mean() / noise.var())
        assert abs(across) < 5 / count**0.5

    def test_field_blurs_each_place_with_its_own(self, camera, scene):
        obs = camera.capture(scene, lux=math.inf, position="field")
        torch.testing.assert_close(obs.signal, FieldBlur(field()).forward(scene).clamp(0, 1))
        assert obs.psf is None

    def test_crop_uses_only_what_the_scene_has(self, camera, scene):
        obs = camera.capture(scene, lux=math.inf, position="center", beyond="crop")
        assert obs.signal.shape == (2, 3, 20, 23)
        whole = camera.capture(scene, lux=math.inf, position="center").signal
        torch.testing.assert_close(obs.signal, whole[..., 2:-2, 2:-2])

    def test_transfer_comes_before_the_blur(self, camera, scene):
        obs = camera.capture(scene, lux=math.inf, position="center", transfer="srgb")
        light = torch.where(scene <= 0.04045, scene / 12.92, ((scene + 0.055) / 1.055) ** 2.4)
        torch.testing.assert_close(obs.signal, Blur(camera.psf("center")[None]).forward(light).clamp(0, 1))

    def test_gray_scene_is_seen_in_green(self, camera, scene):
        obs = camera.capture(scene[:, :1], lux=math.inf, position="center")
        torch.testing.assert_close(obs.psf[0, 0], camera.psf("center")[1])

    def test_gray_scene_in_the_field_is_seen_in_green(self, camera, scene):
        obs = camera.capture(scene[:, :1], lux=math.inf, position="field")
        torch.testing.assert_close(obs.signal, FieldBlur(field()[:, :, 1:2]).forward(scene[:, :1]).clamp(0, 1))

    @pytest.mark.parametrize("position", ["center", "field"])
    def test_two_channels_are_refused(self, camera, scene, position):
        with pytest.raises(ValueError, match="scene must have 1 or 3 channels"):
            camera.capture(scene[:, :2], lux=3, position=position)

    def test_an_even_scene_stays_even(self, camera):
        even = torch.full((1, 3, 20, 23), 0.5)
        for position in ("center", "field"):
            torch.testing.assert_close(camera.capture(even, lux=math.inf, position=position).signal, even)

    def test_what_a_user_does_to_a_psf_stays_with_the_user(self, camera, scene):
        camera.psf("center").zero_()
        assert float(camera.capture(scene, lux=3, position="center").psf.sum()) == pytest.approx(3, abs=1e-5)

    def test_observations_of_one_place_share_its_psf(self, camera, scene):
        from dirtypixels import Observation

        parts = [camera.capture(s[None], lux=10, position="center") for s in scene]
        assert Observation.cat(parts).psf.shape[0] == 1
        mixed = [camera.capture(scene[:1], lux=10, position=p) for p in ("center", "periphery")]
        joined = Observation.cat(mixed)
        assert joined.psf.shape[0] == 2
        torch.testing.assert_close(joined[1].psf, camera.psf("periphery")[None])

    def test_refuses_what_cannot_be(self, camera, scene):
        with pytest.raises(ValueError, match="position must be"):
            camera.capture(scene, lux=3, position="edge")
        with pytest.raises(ValueError, match="beyond must be"):
            camera.capture(scene, lux=3, position="center", beyond="zero")
        with pytest.raises(ValueError, match="at least 5 x 5"):
            camera.capture(scene[..., :4, :4], lux=3, position="center", beyond="crop")
        with pytest.raises(ValueError, match="no PSF field"):
            Camera.load("semco").capture(scene, lux=3, position="center")


class TestFiles:
    def write(self, folder, profile=PROFILE, psfs=None, **arrays):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "camera.json").write_text(json.dumps(profile))
        np.savez(folder / "psf.npz", **(arrays or {"psf": field() if psfs is None else psfs}))
        return folder

    def test_folder_and_zip_give_the_same_camera(self, tmp_path, camera):
        folder = self.write(tmp_path / "toy")
        packed = tmp_path / "toy.zip"
        with zipfile.ZipFile(packed, "w") as archive:
            for file in folder.iterdir():
                archive.write(file, file.name)
        for path in (folder, packed):
            found = Camera.load(path)
            torch.testing.assert_close(found.psf("periphery"), camera.psf("periphery"))
            assert found.hash == Camera.load(folder).hash

    def test_hash_depends_on_the_psfs(self, tmp_path):
        one, other = self.write(tmp_path / "one"), self.write(tmp_path / "other", psfs=field(seed=3))
        assert Camera.load(one).hash != Camera.load(other).hash

    @pytest.mark.parametrize(
        ("arrays", "said"),
        [
            ({"psf": field() * 1.5}, "sum to 1"),
            ({"psf": field(2, 2)}, "3 x 3 PSFs"),
            ({"psf": field(size=4)}, "odd"),
            ({"psf": -field()}, r"psf\.npz: psf must be"),
            ({"other": field()}, "array named 'psf'"),
            ({"psf": np.full((3, 3, 3, 5, 5), np.nan)}, r"psf\.npz: psf"),
            ({"psf": field().numpy().astype(complex)}, r"psf\.npz: psf must hold real.*found complex128"),
            ({"psf": np.ones((3, 3, 3, 1, 1), dtype=int)}, r"psf\.npz: psf must hold real.*found int64"),
            ({"psf": np.ones((3, 3, 3, 1, 1)).astype(str)}, r"psf\.npz: psf must hold real.*found <U32"),
        ],
    )
    def test_refuses_damaged_psfs(self, tmp_path, arrays, said):
        with pytest.raises(ValueError, match=said):
            Camera.load(self.write(tmp_path / "toy", **arrays))

    def test_refuses_pickled_arrays(self, tmp_path):
        with pytest.raises(ValueError, match="pickle"):
            Camera.load(self.write(tmp_path / "toy", psf=np.array([{"a": 1}], dtype=object)))

    def test_refuses_a_single_array_under_that_name(self, tmp_path):
        folder = self.write(tmp_path / "toy")
        with (folder / "psf.npz").open("wb") as file:
            np.save(file, field().numpy())
        with pytest.raises(ValueError, match=r"psf\.npz must hold an array named 'psf'; found a single array"):
            Camera.load(folder)

    def test_refuses_a_file_cut_short(self, tmp_path):
        folder = self.write(tmp_path / "toy")
        whole = (folder / "psf.npz").read_bytes()
        (folder / "psf.npz").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match=r"psf\.npz"):
            Camera.load(folder)

    def test_optics_and_psfs_belong_together(self, tmp_path):
        folder = self.write(tmp_path / "toy")
        (folder / "psf.npz").unlink()
        with pytest.raises(ValueError, match="belong together"):
            Camera.load(folder)
        without = {key: value for key, value in PROFILE.items() if key != "optics"}
        with pytest.raises(ValueError, match="belong together"):
            Camera.load(self.write(tmp_path / "other", without))


@pytest.mark.parametrize("name", ["nexus-6p-rear", "nexus-6p-front"])
class TestBundled:
    def test_the_corner_is_blurrier_than_the_center(self, name):
        spread = []
        for position in ("center", "periphery"):
            psf = Camera.load(name).psf(position)[1]
            at = torch.arange(psf.shape[-1]) - psf.shape[-1] // 2
            far = at[:, None] ** 2 + at**2
            spread.append(float((psf * far).sum().sqrt()))
        assert spread[0] < spread[1]

    def test_says_where_it_comes_from(self, name):
        optics = Camera.load(name).optics
        assert "simulated from a design" in optics.source.lower()
        assert optics.pitch_um > 0
