"""tools/trace_lens.py against lenses whose images are known, and the PSFs that it made for the bundled profiles."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ROOT / "src" / "dirtypixels" / "camera" / "profiles"
BUNDLED = {"nexus-6p-rear": ("cellphone68deg.json", 1.55), "nexus-6p-front": ("cellphone80deg.json", 2.2)}
DESIGN_ANGLE = {"cellphone68deg.json": 68.1 / 2, "cellphone80deg.json": 83.0 / 2}  # DeepLens's figures of them, degrees

RADIUS = 1.0  # mm, of the singlet's back
GREEN = 0.54


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    pytest.importorskip("optiland", reason="tracing needs the extra `optics`: pip install optiland")
    from tools import trace_lens

    return trace_lens


@pytest.fixture(scope="module")
def rays(tool: ModuleType) -> ModuleType:
    from tools import lens_rays

    return lens_rays


def pmma(rays: ModuleType, wavelength: float = GREEN) -> float:
    powers = wavelength ** np.array([0.0, 2, -2, -4, -6, -8])
    return float(np.sqrt(powers @ rays.MATERIALS["pmma"]))


def singlet(rays: ModuleType, conic: float | None, aperture: float = 0.2) -> dict[str, Any]:
    """Plane in front, curved behind: with k = -n^2 (conic None) all axial light of 540 nm meets at R / (n - 1)."""
    n = pmma(rays)
    surface = {"type": "Aspheric", "use_ai2": True, "r": 0.9, "k": 0.0, "ai": [0.0], "mat2": "air"}
    return {
        "r_sensor": 0.3,
        "d_sensor": 0.6 + RADIUS / (n - 1),
        "surfaces": [
            {"type": "Aperture", "r": aperture, "c": 0.0, "d": 0.0},
            {**surface, "c": 0.0, "d": 0.1, "mat2": "pmma"},
            {**surface, "c": -1 / RADIUS, "d": 0.6, "k": -(n**2) if conic is None else conic},
        ],
    }


def read(rays: ModuleType, folder: Path, content: object) -> Any:
    path = folder / "lens.json"
    path.write_text(json.dumps(content))
    return rays.read_prescription(path)


def on_axis(rays: ModuleType, lens: Any, shift: float = 0.0, rings: int = 32) -> Any:
    return rays.trace(rays.build(lens, shift), lens, 0.0, GREEN, *rays.stop_rays(rings))


class TestRays:
    def test_a_stigmatic_singlet_has_no_spot_and_equal_paths(self, rays: ModuleType, tmp_path: Path) -> None:
        found = on_axis(rays, read(rays, tmp_path, singlet(rays, None)))
        assert found.arrived == 1
        assert np.hypot(found.x, found.y).max() < 1e-7
        assert np.ptp(found.path) < 1e-7

    def test_r2_coefficient_is_half_a_curvature(self, rays: ModuleType, tmp_path: Path) -> None:
        content = singlet(rays, 0.0, aperture=1e-3)
        content["surfaces"][2] |= {"c": 0.0, "ai": [-0.5 / RADIUS]}
        assert np.abs(on_axis(rays, read(rays, tmp_path, content)).y).max() < 1e-8

    def test_an_aperture_stops_its_share_of_the_light(self, rays: ModuleType, tmp_path: Path) -> None:
        content = singlet(rays, None)
        content["surfaces"][1]["r"] = 0.1  # half the stop's radius: a quarter of its area
        assert on_axis(rays, read(rays, tmp_path, content)).arrived == pytest.approx(0.25, abs=0.01)

    def test_refocus_finds_the_focus_between_the_colors(self, rays: ModuleType, tmp_path: Path) -> None:
        content = singlet(rays, None, aperture=1e-2)  # paraxial: the spot is linear in the distance to the focus
        content["d_sensor"] += 0.05
        lens = read(rays, tmp_path, content)
        focus = [RADIUS / (pmma(rays, waves[rays.MIDDLE]) - 1) for waves in rays.WAVELENGTHS]
        weight = np.array(rays.FOCUS_WEIGHTS) / np.square(focus)
        expected = 0.6 + weight @ focus / weight.sum()
        assert lens.sensor + rays.axial_focus(lens) == pytest.approx(expected, abs=1e-4)

    def test_the_chief_ray_lands_where_it_should(self, rays: ModuleType, tmp_path: Path) -> None:
        lens = read(rays, tmp_path, singlet(rays, None))
        optic = rays.build(lens)
        angle = rays.field_angle(optic, lens, 0.2)
        assert rays.trace(optic, lens, angle, GREEN, np.zeros(1), np.zeros(1)).y[0] == pytest.approx(0.2, abs=1e-6)
        with pytest.raises(ValueError, match=r"no chief ray reaches 5\.000 mm"):
            rays.field_angle(optic, lens, 5.0)

    def test_stop_rays_are_their_own_mirror_images(self, rays: ModuleType) -> None:
        x, y = rays.stop_rays(7)
        places = {(round(a, 9), round(b, 9)) for a, b in zip(x, y, strict=True)}
        assert len(places) == len(x)
        assert places == {(-a, b) for a, b in places} == {(a, -b) for a, b in places}
        assert np.mean(x**2 + y**2) == pytest.approx(0.5, abs=1e-9)  # of a uniform disk


@pytest.fixture(scope="module")
def bundles(tool: ModuleType, rays: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of a singlet with coma and lateral color, off its axis."""
    lens = read(rays, tmp_path_factory.mktemp("lens"), singlet(rays, 0.0, aperture=0.3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tool, "RINGS", 24)  # enough for so small a spot
        return tool.bundles(rays.build(lens), lens, 0.25)


class TestPsf:
    def test_a_perfect_lens_makes_an_airy_pattern(self, tool: ModuleType, rays: ModuleType, tmp_path: Path) -> None:
        special = importlib.import_module("scipy.special")
        found = on_axis(rays, read(rays, tmp_path, singlet(rays, None)), rings=32)
        psf, kept = tool.pixel_psf([found] * 5, (GREEN,) * 5, (1.0, 0.0), pitch=0.3, side=65)
        row, column = np.indices(psf.shape) - 32
        aperture = np.hypot(found.along_x, found.along_y).max()
        for radius in (1.5, 3.0, 6.0, 9.0):
            v = 2 * np.pi * aperture * radius / GREEN
            encircled = 1 - special.j0(v) ** 2 - special.j1(v) ** 2  # Rayleigh
            # The pixels' corners blur the circle's edge: half a pixel of the ring there, and 1 % for the finite stop.
            ring = 0.5 * abs(special.j1(v) ** 2 * 2 / v) * 2 * np.pi * aperture * 0.3 / GREEN
            assert kept * psf[np.hypot(row, column) * 0.3 <= radius].sum() == pytest.approx(encircled, abs=0.01 + ring)

    def test_turning_the_place_turns_the_psf(self, tool: ModuleType, rays: ModuleType, bundles: Any) -> None:
        def psf(down: float, right: float) -> Any:
            return tool.pixel_psf(bundles[1], rays.WAVELENGTHS[1], (down, right), pitch=2.0, side=33)[0]

        reference = psf(0.6, 0.8)
        close = {"rtol": 0, "atol": 1e-6}  # rays meet a surface to 1e-10 mm; the peak is above 0.01
        np.testing.assert_allclose(psf(-0.6, 0.8), reference[::-1], **close)
        np.testing.assert_allclose(psf(0.6, -0.8), reference[:, ::-1], **close)
        np.testing.assert_allclose(psf(0.8, 0.6), reference.T, **close)
        assert reference.max() > 0.01
        assert not np.allclose(reference, reference[::-1], atol=1e-3)

    def test_colors_part_along_the_radius(self, tool: ModuleType, rays: ModuleType, bundles: Any) -> None:
        place = np.arange(33) - 16
        parted = []
        for channel, waves in zip(bundles, rays.WAVELENGTHS, strict=True):
            psf, _ = tool.pixel_psf(channel, waves, (0.6, 0.8), pitch=2.0, side=33)
            parted.append((psf.sum(1) @ place, psf.sum(0) @ place))
        shift = np.subtract(parted[2], parted[0])
        across = abs(shift @ (-0.8, 0.6))
        assert shift @ (0.6, 0.8) < -0.5  # blue is bent more: nearer to the axis
        assert across < 0.02

    def test_field_is_whole_and_normalized(
        self, tool: ModuleType, rays: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tool, "RINGS", 12)
        lens = read(rays, tmp_path, singlet(rays, 0.0))
        psfs, kept = tool.psf_field(lens, 0.0, pitch=2.0, rows=3, columns=2, side=15)
        assert psfs.shape == (3, 2, 3, 15, 15)
        assert psfs.dtype == np.float16
        assert psfs.min() >= 0
        np.testing.assert_allclose(psfs.astype(float).sum((-2, -1)), 1, atol=1e-3)
        np.testing.assert_array_equal(psfs, psfs[::-1, :, :, ::-1])
        np.testing.assert_array_equal(psfs, psfs[:, ::-1, :, :, ::-1])
        assert ((kept > 0.5) & (kept <= 1 + 1e-3)).all()


class TestCommand:
    @pytest.mark.parametrize(
        ("change", "extra", "message"),
        [
            ({"surfaces": []}, (), "must be a DeepLens prescription"),
            ({"d_sensor": None}, (), "must be a DeepLens prescription"),
            ({"d_sensor": 0.1}, (), "all in front of the sensor"),
            ({}, ("--side", "8"), "--side must be odd"),
            ({}, ("--rows", "1"), "--rows and --columns must be at least 2"),
            ({}, ("--focus", "near"), "--focus must be 'axis' or a number of um; found 'near'"),
            ({}, ("--focus=-9e9",), "--focus must leave the sensor behind the lens"),
            ({}, ("--pitch", "0"), "--pitch must be in"),
            ({}, ("-o", "absent/psf.npz"), "--output must be in a folder that exists"),
        ],
    )
    def test_raises_one_line_for_bad_input(
        self,
        tool: ModuleType,
        rays: ModuleType,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        change: dict[str, Any],
        extra: tuple[str, ...],
        message: str,
    ) -> None:
        path = tmp_path / "lens.json"
        path.write_text(json.dumps(singlet(rays, None) | change))
        output = tmp_path / "psf.npz"
        monkeypatch.setattr(sys, "argv", ["trace_lens.py", str(path), "-o", str(output), "--pitch", "1", *extra])
        with pytest.raises(SystemExit) as stopped:
            tool.main()
        said = capsys.readouterr().err
        assert stopped.value.code == 2
        assert message in said
        assert said.count("\n") == 1
        assert not output.exists()

    @pytest.mark.parametrize(
        ("surface", "change", "message"),
        [
            (0, {"d": 0.5}, "must begin with the stop"),
            (1, {"mat2": "n-bk7"}, "the material 'n-bk7'; known are air"),
            (1, {"type": "Cubic"}, "a surface of type 'Cubic'"),
            (2, {"use_ai2": False}, "begins with the r\\^4 term"),
        ],
    )
    def test_raises_for_what_it_cannot_trace(
        self, rays: ModuleType, tmp_path: Path, surface: int, change: dict[str, Any], message: str
    ) -> None:
        content = singlet(rays, None)
        content["surfaces"][surface] |= change
        with pytest.raises(ValueError, match=message):
            read(rays, tmp_path, content)


@pytest.mark.parametrize("name", BUNDLED)
class TestBundled:
    def stored(self, name: str) -> Any:
        with np.load(PROFILES / name / "psf.npz", allow_pickle=False) as file:
            return file["psf"].astype(float)

    def test_sums_and_mirror_symmetry(self, name: str) -> None:
        psfs = self.stored(name)
        assert psfs.shape[:3] == (11, 11, 3)
        assert psfs.min() >= 0
        np.testing.assert_allclose(psfs.sum((-2, -1)), 1, atol=1e-3)
        np.testing.assert_allclose(psfs, psfs[::-1, :, :, ::-1], atol=1e-4)
        np.testing.assert_allclose(psfs, psfs[:, ::-1, :, :, ::-1], atol=1e-4)

    def test_corner_is_blurred_more_than_the_axis(self, name: str) -> None:
        psfs = self.stored(name)
        place = np.arange(psfs.shape[-1]) - psfs.shape[-1] // 2

        def radius(psf: Any) -> float:
            rows, columns = psf.sum(1), psf.sum(0)
            return float(np.sqrt(sum(p @ place**2 - (p @ place) ** 2 for p in (rows, columns))))

        for c in range(3):
            assert radius(psfs[-1, -1, c]) > 1.05 * radius(psfs[5, 5, c])

    def test_is_what_the_tool_makes(self, name: str, tool: ModuleType, rays: ModuleType, shared_data: Path) -> None:
        prescription, pitch = BUNDLED[name]
        lens = rays.read_prescription(shared_data / "lenses" / prescription)
        optic = rays.build(lens, rays.axial_focus(lens))
        axis = [rays.trace(optic, lens, 0.0, wave, *rays.stop_rays(rays.RINGS)) for wave in rays.WAVELENGTHS[1]]
        stored = self.stored(name)[5, 5, 1]
        psf, kept = tool.pixel_psf(axis, rays.WAVELENGTHS[1], (1.0, 0.0), pitch, len(stored))
        np.testing.assert_allclose(stored, psf, atol=2e-4)  # float16 near the peak
        assert kept > 0.98

    def test_covers_the_designs_field(self, name: str, rays: ModuleType, shared_data: Path) -> None:
        prescription, _ = BUNDLED[name]
        lens = rays.read_prescription(shared_data / "lenses" / prescription)
        angle = np.degrees(rays.field_angle(rays.build(lens), lens, lens.half_diagonal))
        assert angle == pytest.approx(DESIGN_ANGLE[prescription], abs=0.3)
