"""Noise over gain from simulated captures whose noise is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.noise.curve import MeasuredCurve, noise_curve
from dirtypixels.camera.noise import ExposureRule, NoiseCurve
from dirtypixels.raw.folders import write_frames
from dirtypixels.raw.frames import Frame

TIMES = (0.0, 0.02, 0.06, 0.15, 0.3, 0.5, 0.7, 0.9)


def kinds(curve: MeasuredCurve, severity: str | None = None) -> list[str]:
    return [f.kind for f in curve.diagnostics if severity in (None, f.severity)]


def message(curve: MeasuredCurve, kind: str) -> str:
    return next(f.message for f in curve.diagnostics if f.kind == kind)


def assert_recovered(curve: MeasuredCurve, sensor: Any) -> None:
    """Every alpha and sigma^2 within 4.5 of its standard errors: chance leaves that once in 150,000."""
    for (iso, channel), estimate in curve.estimates.items():
        gain = iso / 100
        errors = np.sqrt(np.diag(estimate.covariance))
        off = np.array([estimate.alpha - sensor.alpha * gain, estimate.sigma**2 - (sensor.sigma * gain) ** 2])
        assert (np.abs(off) < 4.5 * errors).all(), (iso, channel, off / errors)
        assert errors[0] < 0.05 * sensor.alpha * gain


@pytest.fixture(scope="module")
def three_gains(sensor: type) -> tuple[Any, MeasuredCurve]:
    known = sensor()
    frames = [f for iso in (400, 100, 1600) for f in known.pairs(iso, [100 / iso * t for t in TIMES])]
    return known, noise_curve(frames)


class TestRecovery:
    def test_three_gains_and_three_colors(self, three_gains: tuple[Any, MeasuredCurve]) -> None:
        known, curve = three_gains
        assert curve.iso.tolist() == [100, 400, 1600]
        assert curve.alpha.shape == curve.sigma.shape == (3, 3)
        assert list(curve.estimates) == [(i, c) for i in (100, 400, 1600) for c in "RGB"]
        for (iso, channel), estimate in curve.estimates.items():
            place = [100, 400, 1600].index(int(iso)), "RGB".index(channel)
            assert (curve.alpha[place], curve.sigma[place]) == tuple(estimate)
        assert_recovered(curve, known)
        assert curve.passed, curve.reason
        assert curve.reason == "no check failed"

    def test_it_is_a_noise_curve(self, three_gains: tuple[Any, MeasuredCurve]) -> None:
        _, curve = three_gains
        assert isinstance(curve, NoiseCurve)
        plain = NoiseCurve(curve.iso, curve.alpha, curve.sigma)
        for iso in (50.0, 200.0, 3200.0):
            for mine, theirs in zip(curve.at_iso(iso), plain.at_iso(iso), strict=True):
                assert np.array_equal(np.asarray(mine), np.asarray(theirs))
        assert "linear in ISO between the 3 gains" in curve.rule
        assert "proportional to ISO outside" in curve.rule

    def test_black_is_measured_in_each_plane(self, three_gains: tuple[Any, MeasuredCurve]) -> None:
        _, curve = three_gains
        assert set(curve.black) == {(i, p) for i in (100, 400, 1600) for p in ("R", "Gr", "Gb", "B")}
        for black in curve.black.values():
            assert black.value == 256
            assert black.source == "dark frames"
            assert black.interval is not None
            assert abs(np.mean(black.interval) - 256) < 5 * 32 * 3.84 / 128 / np.sqrt(2)  # 5 errors at ISO 1600
        assert set(curve.white.values()) == {4095.0}

    def test_a_monochrome_sensor_from_folders(self, sensor: type, tmp_path: Path) -> None:
        known = sensor(cfa=None, shape=(192, 192))
        write_frames(known.pairs(100, TIMES[1:]), tmp_path / "lit")
        write_frames(known.pairs(100, (0.5,), light=0.0), tmp_path / "dark")
        curve = noise_curve(str(tmp_path / "lit"), dark_frames=tmp_path / "dark", exposure=ExposureRule(1000.0, 50.0))
        assert curve.alpha.shape == (1,)
        assert curve.exposure == ExposureRule(1000.0, 50.0)
        assert_recovered(curve, known)
        assert "from the one gain measured, ISO 100" in curve.rule

    def test_shading_and_fixed_pattern_cancel(self, sensor: type) -> None:
        known = sensor(shading=0.6, prnu=0.03, shape=(320, 320), cfa=None)
        assert_recovered(noise_curve(known.pairs(100, TIMES)), known)

    def test_levels_by_light_in_place_of_time(self, sensor: type) -> None:
        known = sensor(cfa=None)
        frames = [known.frame(100, 0.01, 100 * light) for light in TIMES for _ in range(2)]
        curve = noise_curve(frames, illuminance=np.repeat(TIMES, 2), confidence=0.3)
        assert_recovered(curve, known)
        assert curve.black[100, "Y"].source == "dark frames"
        assert "linearity" in kinds(curve)
        assert curve.estimates[100, "Y"].confidence == 0.3
        with_dark_frames = noise_curve(frames[2:], illuminance=np.repeat(TIMES[1:], 2), dark_frames=frames[:2])
        assert_recovered(with_dark_frames, known)

    def test_one_exposure_of_a_scene_with_many_grays(self, sensor: type) -> None:
        known = sensor(cfa=None, shape=(256, 512), shading=0.0)
        steps = np.repeat(np.repeat(np.geomspace(0.01, 0.9, 32).reshape(4, 8), 64, 0), 64, 1)
        curve = noise_curve([known.frame(100, 1.0, scene=steps) for _ in range(4)], block=16)
        assert_recovered(curve, known)
        assert "black-unchecked" in kinds(curve, "warning")

    def test_greens_of_different_black_are_one_channel(self, sensor: type) -> None:
        known = sensor(black=(256.0, 250.0, 262.0, 256.0))
        curve = noise_curve(known.pairs(100, TIMES))
        assert_recovered(curve, known)
        assert (curve.black[100, "Gr"].value, curve.black[100, "Gb"].value) == (250, 262)

    def test_greens_of_different_black_that_clip_in_the_dark(self, sensor: type) -> None:
        """Read noise of 8 DN at black levels of 3 and 1 DN; floors taken for one made sigma a tenth too small."""
        known = sensor(black=(3.0, 3.0, 1.0, 3.0))
        curve = noise_curve(known.pairs(100, TIMES))
        assert_recovered(curve, known)
        assert curve.passed, curve.reason

    def test_black_taken_off_before_leaves_negative_values(self, sensor: type) -> None:
        known = sensor(cfa=None)
        frames = [
            replace(f, values=(f.values - 256.0).astype(np.float32), black=(0.0,) * 4, white=4095.0 - 256)
            for f in known.pairs(100, TIMES)
        ]
        assert min(f.values.min() for f in frames) < 0
        assert_recovered(noise_curve(frames), known)

    def test_values_shifted_to_sixteen_bits(self, sensor: type) -> None:
        """Rounding is then by 16 DN, and its variance, a third of sigma^2 here, no part of the estimate."""
        known = sensor(cfa=None, sigma=0.25e-3, alpha=1e-5, black=(64.0,) * 4, shape=(320, 320))
        frames = [
            replace(f, values=f.values * np.uint16(16), black=(64.0 * 16,) * 4, white=4095.0 * 16)
            for f in known.pairs(100, TIMES)
        ]
        curve = noise_curve(frames)
        assert_recovered(curve, known)
        estimate = curve.estimates[100, "Y"]
        assert 10 * np.sqrt(estimate.covariance[1, 1]) < (1 / 12 / (4095 - 64) ** 2)  # so rounding would show

    def test_frame_sets_more_frames_make_more_patches(self, sensor: type) -> None:
        known = sensor(cfa=None)
        frames = known.pairs(100, TIMES) + [known.frame(100, 0.5) for _ in range(3)]
        curve = noise_curve(frames)
        assert_recovered(curve, known)
        assert "1 frames did not fill a set of 2" in message(curve, "unused-frames")

    def test_values_that_are_no_whole_numbers_have_no_steps(self, sensor: type) -> None:
        known = sensor(cfa=None, shape=(128, 128))
        frames = known.pairs(100, TIMES)
        curve = noise_curve(
            [
                replace(f, values=(f.values / 2.5).astype(np.float32), black=(256 / 2.5,) * 4, white=4095 / 2.5)
                for f in frames
            ]
        )
        whole = noise_curve(frames).estimates[100, "Y"]
        # rounding is then a part of the noise, 1/12 DN^2 of the frames before they were scaled
        assert curve.sigma[0] ** 2 == pytest.approx(whole.sigma**2 + 1 / 12 / (4095 - 256) ** 2, rel=1e-3)

    def test_a_sensor_without_read_noise(self) -> None:
        """Dark frames are one code throughout, which weighed all: the moments were then tabulated over 7e6 levels."""
        random = np.random.default_rng(0)
        frames = []
        for seconds in (0.0, 0.0, 0.01, 0.01, 0.1, 0.1, 0.3, 0.3, 1.0, 1.0):
            values = (64 + 0.5 * random.poisson(1500 * seconds, (64, 64))).round().astype(np.uint16)
            frames.append(Frame(values, black=(64.0,) * 4, white=1023.0, iso=100.0, exposure_s=seconds))
        curve = noise_curve(frames, block=16)
        (estimate,) = curve.estimates.values()
        assert curve.passed, curve.reason
        assert abs(estimate.alpha * 959 - 0.5) < 4.5 * 959 * np.sqrt(estimate.covariance[0, 0])
        assert estimate.sigma_interval[0] == 0
        assert estimate.sigma_interval[1] * 959 < 0.5  # a standard deviation that rounding hides

    def test_an_uncertain_black_level_makes_sigma_uncertain(self, sensor: type) -> None:
        known = sensor(cfa=None, shape=(128, 128))
        frames = known.pairs(100, TIMES[1:])
        stated, measured = noise_curve(frames), noise_curve([replace(f, black=None) for f in frames])
        assert stated.black[100, "Y"].value == 256
        black = measured.black[100, "Y"]
        assert black.interval is not None
        error = (black.interval[1] - black.interval[0]) / 2 / 1.96 / (4095 - black.value)
        one, other = stated.estimates[100, "Y"], measured.estimates[100, "Y"]
        added = other.covariance[1, 1] - (other.alpha * error) ** 2
        assert added == pytest.approx(one.covariance[1, 1], rel=0.02)
        half = 1.96 * np.sqrt(other.covariance[1, 1])
        assert other.sigma_interval == pytest.approx([np.sqrt(other.sigma**2 + s * half) for s in (-1, 1)], rel=1e-4)


class TestDiagnostics:
    def test_hot_pixels_are_counted_over_the_sensor(self, sensor: type) -> None:
        known = sensor(hot=25, cfa=None)
        curve = noise_curve(known.pairs(100, TIMES), dark_frames=known.pairs(100, (1.0,), light=0.0))
        assert "25 of the sensor's 65536 pixels are hot" in message(curve, "hot-pixels")
        assert_recovered(curve, known)

    def test_dark_current_is_the_slope_of_dark_frames(self, sensor: type) -> None:
        known = sensor(dark_current=0.02, cfa=None)
        curve = noise_curve(known.pairs(100, TIMES[1:]), dark_frames=known.pairs(100, (0.0, 0.5, 1.0, 2.0), light=0.0))
        black = curve.black[100, "Y"]
        assert black.dark_current is not None
        value, (low, high) = black.dark_current
        assert value == pytest.approx(0.02 * (4095 - 256), abs=0.5)
        assert low < value < high
        assert black.value == 256

    @pytest.mark.parametrize(("change", "severity"), [(0.06, "warning"), (0.3, "failure")])
    def test_drift_of_the_light(self, sensor: type, change: float, severity: str) -> None:
        known = sensor(cfa=None)
        frames = [known.frame(100, t, 1 + change * i) for t in (*TIMES[:6], 0.6) for i in range(2)]
        curve = noise_curve(frames)
        assert kinds(curve, severity).count("drift") == kinds(curve).count("drift") == 1
        assert curve.passed == (severity == "warning")
        if severity == "warning":
            assert_recovered(curve, known)

    def test_a_response_that_bends(self, sensor: type) -> None:
        known = sensor(gamma=1 / 2.2, cfa=None, black=(0.0,) * 4)
        curve = noise_curve(known.pairs(100, TIMES))
        assert not curve.passed
        assert "non-linear" in kinds(curve, "failure")
        assert "off a line over exposure by" in curve.reason

    @pytest.mark.parametrize("how", ["dark frames", "intercept"])
    def test_a_wrong_black_level(self, sensor: type, how: str) -> None:
        known = sensor(cfa=None)
        curve = noise_curve(known.pairs(100, TIMES if how == "dark frames" else TIMES[1:]), black=64.0)
        assert not curve.passed
        black = curve.black[100, "Y"]
        assert black.source == how
        assert black.given == 64
        assert abs(black.value - 256) < 1
        assert "black level 64 DN is stated, 25" in curve.reason
        assert_recovered(curve, known)  # with the level found

    def test_edges_are_left_out_and_counted(self, sensor: type) -> None:
        known = sensor(cfa=None, shape=(256, 256))
        scene = np.ones((256, 256))
        scene[100:110, :64] = 0.2
        curve = noise_curve([known.frame(100, t, scene=scene) for t in TIMES for _ in range(2)])
        # rows 96 to 127 of the two leftmost blocks; in the dark there is nothing to see
        assert f"ISO 100: {2 * 7} of {64 * 8} blocks of 32 x 32 samples hold edges" in message(curve, "structure")
        assert_recovered(curve, known)

    def test_captures_without_iso(self, sensor: type) -> None:
        known = sensor(cfa=None)
        curve = noise_curve(known.pairs(None, TIMES))
        assert curve.iso.tolist() == [100]
        assert "iso-unknown" in kinds(curve, "warning")

    def test_gains_that_are_swapped(self, sensor: type) -> None:
        known = sensor(cfa=None, shape=(128, 128))
        frames = known.pairs(100, TIMES) + known.pairs(400, [t / 4 for t in TIMES])
        swapped = [replace(f, iso=500.0 - f.iso if f.iso else None) for f in frames]
        curve = noise_curve(swapped)
        assert "alpha falls between ISO 100 and 400" in message(curve, "gain-order")

    def test_gains_that_are_not_proportional(self, sensor: type) -> None:
        known = sensor(cfa=None, shape=(128, 128))
        frames = [f for iso in (100, 200, 400) for f in known.pairs(iso, [100 / iso * t for t in TIMES])]
        curve = noise_curve([replace(f, iso=600.0) if f.iso == 400 else f for f in frames])
        assert "not proportional to ISO: at ISO 600 -33%" in message(curve, "gain-steps")
        assert "gain-steps" not in kinds(noise_curve(frames))

    def test_a_channel_that_is_scaled(self, sensor: type) -> None:
        frames = sensor(black=(0.0,) * 4).pairs(100, TIMES[1:6])
        for frame in frames:
            frame.values[::2, ::2] = np.minimum(frame.values[::2, ::2] * np.float64(1.5), 4095)
        curve = noise_curve(frames)
        assert "alpha of R is 1.5" in message(curve, "channels")

    def test_a_gain_of_dark_frames_alone(self, sensor: type) -> None:
        known = sensor(cfa=None)
        curve = noise_curve(known.pairs(100, TIMES) + known.pairs(800, (0.0,)))
        assert curve.iso.tolist() == [100]
        assert "ISO 800" in message(curve, "dark-only")

    def test_a_frame_that_is_alone(self, sensor: type) -> None:
        known = sensor(cfa=None)
        curve = noise_curve([*known.pairs(100, TIMES), known.frame(100, 0.123)])
        assert "0.123 s: only one frame" in message(curve, "single-frame")

    def test_the_number_of_patches_is_kept_to(self, sensor: type) -> None:
        curve = noise_curve(sensor(cfa=None).pairs(100, TIMES), patches=100)
        assert len(curve.estimates[100, "Y"].patches.mean) == 100
        assert f"100 of {64 * 8} blocks" in message(curve, "blocks-chosen")


class TestRaises:
    def test_one_exposure_only(self, sensor: type) -> None:
        with pytest.raises(ValueError, match=r"two exposures or more; found one only \(ISO 100, 0.5 s\)"):
            noise_curve(sensor(cfa=None).pairs(100, (0.5,)))

    def test_unknown_exposure_times(self, sensor: type) -> None:
        with pytest.raises(
            ValueError, match=r"found one only \(ISO 100, unknown exposure time\).*state the exposure times"
        ):
            noise_curve(sensor(cfa=None).pairs(100, (None,)))

    def test_single_frames(self, sensor: type) -> None:
        known = sensor(cfa=None)
        with pytest.raises(ValueError, match="--from single-image"):
            noise_curve([known.frame(100, t) for t in TIMES])

    def test_mixed_cameras(self, sensor: type) -> None:
        known = sensor(cfa=None)
        with pytest.raises(ValueError, match=r"one camera.*Simulated.*Other"):
            noise_curve(known.pairs(100, TIMES) + known.pairs(100, (0.4,), camera="Other"))

    def test_unknown_black_that_nothing_can_measure(self, sensor: type) -> None:
        with pytest.raises(ValueError, match="black must be given where it cannot be measured"):
            noise_curve(sensor(cfa=None).pairs(100, (0.1, 0.5), black=None))

    def test_unknown_white(self, sensor: type) -> None:
        with pytest.raises(ValueError, match=r"white must be given.*largest sample here is \d+"):
            noise_curve(sensor(cfa=None).pairs(100, TIMES, white=None))

    def test_wrong_white(self, sensor: type) -> None:
        known = sensor(cfa=None, white=3000.0)
        with pytest.raises(ValueError, match=r"wrong white level.*4095.*3000"):
            noise_curve(known.pairs(100, (*TIMES, 1.1)), white=4095.0)
        with pytest.raises(ValueError, match=r"wrong white level.*3000 DN everywhere.*4095 is stated"):
            noise_curve(known.pairs(100, (*TIMES, 2.5)), white=4095.0)

    def test_everything_saturated(self, sensor: type) -> None:
        with pytest.raises(ValueError, match="every block is saturated or holds edges"):
            noise_curve(sensor(cfa=None).pairs(100, (2.0, 3.0)))

    def test_dark_frames_alone(self, sensor: type) -> None:
        with pytest.raises(ValueError, match="frames with light; found dark frames only"):
            noise_curve(sensor(cfa=None).pairs(100, (0.0,)))

    def test_arguments(self, sensor: type) -> None:
        frames: list[Frame] = sensor(cfa=None).pairs(100, (0.1, 0.5))
        for confidence in (0.0, 1.0, 1.5):
            with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\)"):
                noise_curve(frames, confidence=confidence)
        with pytest.raises(ValueError, match="patches must be at least 16; found 3"):
            noise_curve(frames, patches=3)
        with pytest.raises(ValueError, match="block must be a multiple of 4"):
            noise_curve(frames, block=30)
        with pytest.raises(ValueError, match=r"illuminance must be 4 finite numbers >= 0, one a capture; found \[1"):
            noise_curve(frames, illuminance=[1.0, 2.0], dark_frames=frames)
        with pytest.raises(TypeError, match="captures must be a folder, or Frames; found str"):
            noise_curve(["a", "b"])  # type: ignore[list-item]


def test_progress_counts_every_look(sensor: type) -> None:
    calls: list[tuple[int, int]] = []
    noise_curve(sensor(shape=(128, 128)).pairs(100, (0.0, 0.1, 0.5)), progress=lambda *c: calls.append(c))
    assert calls == [(i, 12) for i in range(1, 13)]
