"""A simulated camera's lens, measured: what comes out is what went in."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.ndimage import convolve

from dirtypixels.calibrate.psf.blocks import Blocks
from dirtypixels.calibrate.psf.capture import ChartCapture
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.estimates import Quality, centroid, estimate
from dirtypixels.calibrate.psf.field import MeasuredField, block_diagnostics, psf_field
from dirtypixels.calibrate.psf.mapping import scale_of
from dirtypixels.calibrate.simulate import ChartCamera, Pose
from dirtypixels.camera import Camera, NoiseLevel, ProfileFile
from dirtypixels.raw import Frame, write_frames
from tests.calibrate.psf.test_estimates import good

pytest.importorskip("cv2")

HEIGHT, WIDTH, SIDE = 384, 512, 11
BLOCKS = (3, 4)
POSE = Pose(fill=1.03, rotation=0.7)
EXPOSURE = 0.95


def spot(spread: float, across: float, aside: tuple[float, float]) -> npt.NDArray[Any]:
    """(3, SIDE, SIDE) Gaussians; red and blue displaced against green by (y, x) `aside` and its opposite, in pixels."""
    found, at = [], np.arange(SIDE) - SIDE // 2
    for way in (1.0, 0.0, -1.0):
        y, x = (at - way * shift for shift in aside)
        psf = np.exp(-0.5 * ((x / (spread * across)) ** 2 + (y[:, None] / spread) ** 2))
        found.append(psf / psf.sum())
    return np.array(found)


@cache
def camera(cfa: str | None = "RGGB") -> ChartCamera:
    """Four PSFs in the corners of the frame, bilinear between them: a block's middle has the mean of its PSFs."""
    above = [spot(0.7, 1.3, (0.3, -0.4)), spot(0.9, 1.0, (0.3, 0.4))]
    below = [spot(0.8, 0.8, (-0.3, -0.4)), spot(1.0, 1.3, (-0.3, 0.4))]
    profile = ProfileFile.model_validate(
        {
            "schema_version": 2,
            "name": "linear",
            "noise": {"gains": [{"iso": 100, "alpha": 1e-4, "sigma": 1e-3}], "source": "made up"},
            "exposure": {"reference_lux": 2000, "base_iso": 100, "source": "made up"},
            "optics": {"rows": 2, "columns": 2, "pitch_um": 2, "source": "made up"},
        }
    )
    known = Camera(profile, torch.from_numpy(np.array([above, below])).float())
    return ChartCamera(known, HEIGHT, WIDTH, cfa=cfa, distortion=(-0.02, 0.0), vignetting=0.2)


@cache
def chart() -> BernoulliChart:
    return BernoulliChart.for_sensor(WIDTH, HEIGHT, cell_px=1.4)


@cache
def light(cfa: str | None, pose: Pose) -> npt.NDArray[Any]:
    return camera(cfa).render(chart(), pose, exposure=EXPOSURE)


def level(snr_db: float, cfa: str | None = "RGGB") -> NoiseLevel:
    return camera(cfa).noise(100, snr_db, exposure=EXPOSURE)


def capture(snr_db: float = 40.0, cfa: str | None = "RGGB", seed: int = 0, pose: Pose = POSE) -> Frame:
    generator = torch.Generator().manual_seed(seed)
    return camera(cfa).expose(light(cfa, pose), 100, generator, noise=level(snr_db, cfa))


def measured(frames: Frame | list[Frame], **known: Any) -> MeasuredField:
    return psf_field(frames, chart(), **({"pitch_um": 2.0, "size": SIDE, "blocks": BLOCKS, "partial": True} | known))


@cache
def plain() -> MeasuredField:
    return measured(capture())


@cache
def mono() -> MeasuredField:
    return measured(capture(cfa=None))


def errors(field: MeasuredField, cfa: str | None = "RGGB") -> npt.NDArray[Any]:
    """(R, C, channels) relative l2 error of each block's PSF."""
    found = np.empty(field.blocks.shape[:3])
    for place in np.ndindex(*field.trusted.shape):
        truth = camera(cfa).psf_over(*field.grid.of(place))
        truth = truth[1:2] if cfa is None else truth
        found[place] = np.linalg.norm(field.blocks[place] - truth, axis=(1, 2)) / np.linalg.norm(truth, axis=(1, 2))
    return found


class TestMeasured:
    def test_psfs_come_back(self) -> None:
        # The prediction is a root mean square over the posterior; 36 errors are judged together, and each within
        # three times its own, where chance has a part of about 1e-3 of so many taps.
        found, predicted = errors(plain()), plain().quality
        assert 0.5 < np.sqrt(np.mean(found**2) / np.mean(predicted**2)) < 1.5
        assert (found < 3 * predicted).all()
        assert np.median(found) < 0.03

    def test_in_25_db(self) -> None:
        field = measured(capture(25.0))
        found = errors(field)
        assert 0.5 < np.sqrt(np.mean(found**2) / np.mean(field.quality**2)) < 1.5
        assert np.median(found) < 0.08
        # At 40 dB a half of what is left is the bend of the field within a block; here it is noise alone.
        assert np.abs(field.residual - 1).max() < 0.1

    def test_green_is_in_the_middle_and_lateral_color_stays(self) -> None:
        for place in np.ndindex(*BLOCKS):
            middles = [centroid(psf) for psf in plain().blocks[place]]
            truth = [centroid(psf) for psf in camera().psf_over(*plain().grid.of(place))]
            assert np.hypot(*middles[1]) < 0.02
            for channel in (0, 2):
                np.testing.assert_allclose(middles[channel] - middles[1], truth[channel] - truth[1], atol=0.05)

    def test_what_the_field_says(self) -> None:
        field = plain()
        assert field.passed
        assert field.reason == "no check failed"
        assert field.trusted.all()
        assert field.psfs.shape == (7, 9, 3, SIDE, SIDE)
        assert field.pitch_um == 2.0
        assert len(field.alignment_rms_px) == len(field.captures) == 1
        assert field.alignment_rms_px[0] < 0.05
        assert field.summary.startswith("Measured of linear from 1 capture of a Bernoulli chart")
        for words in (
            "3 x 4 blocks",
            "centroid of green",
            "do not contain the pixel's aperture (a square of 1 pixels)",
        ):
            assert words in field.source
        middle = field.at((0.5 / 3, 0.5 / 4)).numpy()
        assert np.linalg.norm(middle - field.blocks[0, 0]) < 0.02 * np.linalg.norm(middle)

    def test_several_captures_are_better_than_one(self) -> None:
        poses = (POSE, Pose(fill=1.04, rotation=-0.8))
        frames = [capture(25.0, None, i, pose) for i, pose in enumerate(poses)]
        one, many = measured(frames[0]), measured(frames)
        # Twice the samples: 1 / sqrt(2) = 0.71 of the error, if noise is all there is.
        assert np.median(errors(many, None)) < 0.85 * np.median(errors(one, None))
        assert len(many.alignment_rms_px) == 2

    def test_a_monochrome_sensor(self) -> None:
        assert mono().psfs.shape == (7, 9, 1, SIDE, SIDE)
        assert (errors(mono(), None) < 0.03).all()

    def test_captures_as_files_and_as_arrays(self, tmp_path: Path) -> None:
        frame = capture(cfa=None)
        assert frame.black is not None
        assert frame.white is not None
        write_frames([frame], tmp_path)
        signal = (frame.values.astype(np.float64) - frame.black[0]) / (frame.white - frame.black[0])
        known: dict[str, Any] = {"size": SIDE, "blocks": BLOCKS, "partial": True}
        for given in (tmp_path, signal):
            field = psf_field(given, chart(), **known)
            assert field.pitch_um is None
            np.testing.assert_allclose(field.blocks, mono().blocks, atol=1e-4)

    def test_the_corner_is_that_of_the_lens(self) -> None:
        # PSFs in the corners are the lens's own nodes, which lie half a block beyond the outermost middles.
        for place in ((0.0, 0.0), (1.0, 1.0)):
            truth = camera(None).camera.psf(place)[1].numpy()
            found = mono().at(place)[0].numpy()
            assert np.linalg.norm(found - truth) < 0.05 * np.linalg.norm(truth)

    def test_size_and_blocks_are_chosen(self) -> None:
        # Six standard deviations of the widest blur (1.3 px at 90 % of the places) to each side; 8 px of block a tap.
        field = measured(capture(cfa=None), size=None, blocks=None)
        assert field.blocks.shape == (3, 4, 1, 15, 15)

    def test_progress_goes_from_0_to_its_end(self) -> None:
        steps: list[tuple[int, int]] = []
        measured(capture(cfa=None), progress=lambda done, total: steps.append((done, total)))
        shares = [done / total for done, total in steps]
        assert shares[0] == 0
        assert shares[-1] == 1
        assert shares == sorted(shares)

    def test_the_aperture_is_not_in_the_psf(self) -> None:
        # Against a smaller square than the pixels have, what is missing comes into the PSFs, by its variance: that of
        # one square less that of the other, a^2 / 12.
        square, small = (field.blocks[:, :, 0] for field in (mono(), measured(capture(cfa=None), aperture=0.8)))
        missing = (1 - 0.8**2) / 12
        line = np.array([missing / 2, 1 - missing, missing / 2])
        expected = convolve(square, np.outer(line, line)[None, None], mode="constant")
        assert np.linalg.norm(small - expected) < 0.6 * np.linalg.norm(small - square)


class TestCentering:
    @pytest.mark.parametrize("moved", [(0.7, -0.4), (-1.3, 0.0)])
    def test_a_map_that_lies_aside_gives_the_same_psfs(self, moved: tuple[float, float]) -> None:
        shot = ChartCapture.of(capture(cfa=None), chart(), partial=True)
        homography = np.array(shot.alignment.mapping.homography)
        # Pixels of the map lie by `moved` further on than they should, before its little distortion.
        homography[:2] += np.outer(np.array(moved) / scale_of(shot.alignment.size), homography[2])
        aside = replace(shot.alignment, mapping=replace(shot.alignment.mapping, homography=homography))
        grid = Blocks((HEIGHT, WIDTH), *BLOCKS)
        right, wrong = (estimate([one], grid, SIDE) for one in (shot, replace(shot, alignment=aside)))
        # The chart's light is `moved` before where the map says: so is what the PSF has to make up for.
        np.testing.assert_allclose(wrong.centroids - right.centroids, -np.broadcast_to(moved, (*BLOCKS, 2)), atol=0.06)
        difference = np.linalg.norm(wrong.psfs - right.psfs, axis=(-2, -1)) / np.linalg.norm(right.psfs, axis=(-2, -1))
        assert difference.max() < 0.03
        for place in np.ndindex(*BLOCKS):
            assert np.hypot(*centroid(wrong.psfs[place][0])) < 0.02


class TestTrust:
    def test_a_covered_block_is_filled_from_its_neighbors(self) -> None:
        frame = capture()
        values = frame.values.copy()
        values[150:230, 280:360] = 1200
        field = measured(replace(frame, values=values))
        assert not field.trusted[1, 2]
        assert field.trusted.sum() >= 10
        assert "usual residual" in field.reasons[1, 2]
        assert errors(field)[1, 2].max() < 0.35  # its neighbors are no worse than that
        assert errors(field)[field.trusted].max() < 0.08
        assert field.passed
        assert "untrusted-blocks" in {diagnostic.kind for diagnostic in field.diagnostics}
        assert "could not be trusted" in field.source
        assert "(2, 3)" in field.source

    def test_a_saturated_block(self) -> None:
        frame = capture(cfa=None)
        assert frame.white is not None
        values = frame.values.copy()
        values[150:230, 280:360:3] = int(frame.white)
        field = measured(replace(frame, values=values))
        # 80 x 27 pixels of the block's 128 x 128, next to those of white paper that noise brought there.
        assert field.reasons[1, 2].startswith("13.")
        assert field.reasons[1, 2].endswith("% of it are saturated")
        assert field.trusted.sum() == 11

    def test_blocks_beyond_the_chart(self) -> None:
        field = measured(capture(pose=Pose(fill=0.7, rotation=0.7)), blocks=(6, 8), size=9)
        assert not field.trusted[0].any()
        assert field.trusted[2:4, 3:5].all()
        assert "lie on the chart" in field.reasons[0, 0]
        assert not field.passed
        assert "blocks cannot be trusted" in field.reason


def point(*shape: int) -> Any:
    psfs = np.zeros((*shape, 5, 5))
    psfs[..., 2, 2] = 1.0
    return psfs


class TestBlockDiagnostics:
    def kinds(self, quality: Quality, psfs: Any | None = None) -> dict[str, tuple[str, str]]:
        found = block_diagnostics(quality, quality.reasons(), point(3, 4, 3) if psfs is None else psfs)
        return {f.kind: (f.severity, f.message) for f in found}

    def test_only_the_error_where_all_is_well(self) -> None:
        found = self.kinds(good())
        assert found.keys() == {"psf-error"}
        assert found["psf-error"][0] == "note"
        assert "median 3.0 %, worst of a trusted block 3.0 %" in found["psf-error"][1]

    def test_few_untrusted_blocks_warn_and_are_named(self) -> None:
        quality = good()
        quality.failed[0, 3] = "only 10 % of it lie on the chart"
        severity, message = self.kinds(quality)["untrusted-blocks"]
        assert severity == "warning"
        assert "1 of 12 blocks" in message
        assert "(1, 4) only 10 % of it lie on the chart" in message

    def test_many_untrusted_blocks_fail(self) -> None:
        quality = good()
        quality.failed[:2] = "no light"
        severity, message = self.kinds(quality)["untrusted-blocks"]
        assert severity == "failure"
        assert message.endswith("and 2 more")

    def test_noise_warns(self) -> None:
        quality = good()
        quality.noise[:] = 0.1
        found = self.kinds(quality)
        assert found["psf-error"][0] == "warning"
        assert "psf-changes" not in found

    def test_a_field_that_changes_fast_warns(self) -> None:
        quality = good()
        quality.misfit[:] = 0.1
        severity, message = self.kinds(quality)["psf-changes"]
        assert severity == "warning"
        assert "10 % of the chart's contrast" in message
        assert quality.error[0, 0, 0] == pytest.approx(0.05)

    def test_a_field_that_bends_between_blocks_warns(self) -> None:
        psfs = point(3, 5, 3)
        psfs[:, ::2] = np.roll(psfs[:, ::2], 1, -1)  # every second column of blocks is another
        severity, message = self.kinds(good(3, 5), psfs)["psf-between"]
        assert severity == "warning"
        # D = 2 (1, -1) in two taps: |D| = 2 sqrt(2), less 6 * 0.03^2 of noise
        assert f"may be off by another {100 * np.sqrt(8 - 6 * 0.03**2) / 8:.0f} %" in message

    def test_psfs_cut_off_warn(self) -> None:
        psfs = point(3, 4, 3)
        psfs[1, 1, 0] = 0.04
        severity, message = self.kinds(good(), psfs)["psf-cut-off"]
        assert severity == "warning"
        assert "1 blocks" in message
        assert "64 %" in message
        assert "size of 13" in message

    def test_a_field_without_trust(self) -> None:
        quality = good()
        quality.failed[:] = "no light"
        assert self.kinds(quality)["untrusted-blocks"][0] == "failure"


class TestRaises:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"pitch_um": 0.0}, "pitch_um must be finite and above 0; found 0"),
            ({"pitch_um": float("inf")}, "pitch_um must be finite"),
            ({"pitch_um": float("nan")}, "pitch_um must be finite"),
            ({"aperture": 0.0}, r"aperture must be in \(0, 2\]; found 0"),
            ({"size": 10}, "size must be an odd integer from 5 to 61; found 10"),
            ({"size": 63}, "found 63"),
            (
                {"size": 15, "blocks": (8, 10)},
                "leave 4 samples .* 15 x 15 taps; found 624 samples in each of 8 x 10 bl",
            ),
            ({"blocks": (0, 3)}, "blocks must be 1 to 24 rows"),
        ],
    )
    def test_arguments(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            measured(capture(), **change)

    @pytest.mark.parametrize(
        ("frames", "kind"), [([], "none"), ([np.zeros((4, 4), np.uint8)], "array of uint8"), ([3], "found int")]
    )
    def test_no_frames(self, frames: list[Any], kind: str) -> None:
        with pytest.raises(TypeError, match=f"capture must be a Frame.*{kind}"):
            measured(frames)

    def test_no_file(self) -> None:
        with pytest.raises(FileNotFoundError, match=r"none\.dng"):
            psf_field("none.dng", chart())

    def test_three_numbers_of_blocks(self) -> None:
        with pytest.raises(ValueError, match=r"blocks must be two numbers \(rows, columns\); found 3"):
            measured(capture(), blocks=(3, 3, 3))

    @pytest.mark.parametrize("name", ["black", "white"])
    def test_an_unknown_level(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"{name} must be given"):
            measured(replace(capture(), **{name: None}))

    def test_frames_of_two_cameras(self) -> None:
        with pytest.raises(ValueError, match="camera"):
            measured([capture(), replace(capture(), camera="another")])

    def test_a_bad_capture_among_several_is_named(self) -> None:
        bad = replace(capture(), values=np.full((HEIGHT, WIDTH), 1000, dtype=np.uint16))
        with pytest.raises(ValueError, match="a frame without a file: "):
            measured([capture(), bad])
