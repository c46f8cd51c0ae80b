"""Levels that the samples contradict, and samples that contradict nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dirtypixels.raw.frames import Frame
from dirtypixels.raw.levels import check_levels, exposure_line
from dirtypixels.raw.reading import read_frame

BLACK, WHITE, GAIN, READ = 64.0, 1023.0, 0.5, 3.0


def sensor(light: npt.ArrayLike, generator: np.random.Generator, **changes: Any) -> Frame:
    """A 10-bit frame of a mean light in DN, (H, W): Poisson-Gaussian noise, black level, clipping, rounding."""
    mean = np.asarray(light, dtype=float)
    noisy = BLACK + GAIN * generator.poisson(mean / GAIN) + generator.normal(0, READ, mean.shape)
    values = np.clip(np.round(noisy), 0, WHITE).astype(np.uint16)
    fields: dict[str, Any] = {"cfa": "RGGB", "black": (BLACK,) * 4, "white": WHITE, "path": Path("a.dng")}
    return Frame(values, **(fields | changes))


def ramp(top: float, size: int = 128) -> npt.NDArray[np.float64]:
    """Light from 0 to `top` over the columns."""
    return np.broadcast_to(np.linspace(0, top, size), (size, size))


class TestNothingWrong:
    @pytest.mark.parametrize("top", [0.0, 30.0, 900.0, 3000.0])
    @pytest.mark.parametrize("seed", range(8))
    def test_right_levels_pass_at_any_light(self, top: float, seed: int) -> None:
        # dark patches are 256 samples, and 6 standard errors of their median are allowed below black
        check_levels([sensor(ramp(top), np.random.default_rng(seed))])

    def test_a_frame_far_above_black_says_nothing_of_it(self) -> None:
        check_levels([sensor(np.full((64, 64), 500.0), np.random.default_rng(0), black=(0.0,) * 4)])

    def test_few_defects_are_no_contradiction(self) -> None:
        values = sensor(ramp(300.0), np.random.default_rng(0)).values.copy()
        values[:10, 3] = 1023
        values[40:48, 40:48] = 0  # a speck of dead samples within one patch of a plane
        check_levels([Frame(values, "RGGB", (BLACK,) * 4, 900.0)])

    def test_a_frame_smaller_than_a_patch(self) -> None:
        check_levels([sensor(ramp(300.0, 16), np.random.default_rng(0))])

    def test_changing_light_is_no_contradiction(self) -> None:
        draw = np.random.default_rng(0)
        light = [50.0, 400.0, 100.0, 600.0]
        check_levels(
            sensor(np.full((64, 64), light[i]), draw, exposure_s=0.01 * (i + 1), black=(0.0,) * 4) for i in range(4)
        )

    def test_a_real_photograph(self, shared_data: Path) -> None:
        check_levels([read_frame(shared_data / "raw" / "colorchart.dng")])


class TestBlack:
    def test_unknown(self) -> None:
        frame = sensor(ramp(300.0), np.random.default_rng(0), black=None)
        with pytest.raises(ValueError, match=r"a\.dng does not say its black level: give black= in digital numbers"):
            check_levels([frame])

    @pytest.mark.parametrize("light", ["dark", "ramp"])
    def test_above_the_dark_patches(self, light: str) -> None:
        top = 0.0 if light == "dark" else 900.0
        # a ramp's darkest patch spans 32 columns of 128; further allowed are 1 DN and half of the read noise
        shift = 2 + READ / 2 + (0 if light == "dark" else 900 / 128 * 32)
        frame = sensor(ramp(top), np.random.default_rng(0), black=(BLACK + shift,) * 4)
        with pytest.raises(
            ValueError, match=r"wrong black level: a\.dng, R states [\d.]+ DN, and its dark patches have a"
        ):
            check_levels([frame])

    def test_above_the_dark_patches_at_one_place_only(self) -> None:
        frame = sensor(ramp(0.0), np.random.default_rng(0), black=(BLACK, BLACK, BLACK + 10, BLACK))
        with pytest.raises(ValueError, match=r"a\.dng, Gb states 74 DN, and its dark patches have a median of 6[345]"):
            check_levels([frame])

    @pytest.mark.parametrize("black", [0.0, 62.0])
    def test_below_a_dark_frame(self, black: float) -> None:
        frame = sensor(ramp(0.0), np.random.default_rng(0), black=(black,) * 4, exposure_s=0.0)
        message = (
            rf"a\.dng, R states {black:g} DN and exposure 0, and the median of its 4096 samples is 64: give black=64"
        )
        with pytest.raises(ValueError, match=message):
            check_levels([frame])

    def test_a_line_over_exposure_times_that_starts_elsewhere(self) -> None:
        def frames(black: float) -> Iterator[Frame]:
            draw = np.random.default_rng(0)
            for i in (1, 2, 4, 8, 16):  # the last one saturates
                light = np.full((64, 64), 100.0 * i)
                yield sensor(light, draw, black=(black,) * 4, exposure_s=0.01 * i, iso=200.0, path=Path(f"{i}.dng"))

        check_levels(frames(BLACK))
        message = (
            r"wrong black level: 1\.dng and 3 other frames of ISO 200 state 0 DN for R, and their medians over "
            r"exposure times of 0\.01 to 0\.08 s lie on a line that starts at 6[345]; the median of a frame"
        )
        with pytest.raises(ValueError, match=message):
            check_levels(frames(0.0))


class TestExposureLine:
    TIMES = np.array([0.01, 0.02, 0.05, 0.1, 0.3, 0.6, 1.0])

    def test_is_the_line_of_least_squares(self) -> None:
        """Against numpy's polyfit, weighted by the same errors."""
        draw = np.random.default_rng(0)
        light = 900 * self.TIMES
        errors = np.sqrt(0.3**2 + (0.01 * light) ** 2)
        means = 64 + light + errors * draw.standard_normal(7)
        line = exposure_line(self.TIMES, means, np.full(7, 0.3**2), 0.01)
        weights = 1 / np.sqrt(0.3**2 + (0.01 * (means - line.start)) ** 2)
        slope, start = np.polyfit(self.TIMES, means, 1, w=weights)
        assert (line.start, line.slope) == pytest.approx((start, slope), rel=1e-6)
        assert line.residual == pytest.approx(means - start - slope * self.TIMES, abs=1e-4)
        assert line.scatter == pytest.approx(np.sqrt(((line.residual * weights) ** 2).sum() / 5), rel=1e-4)

    @pytest.mark.parametrize("light_error", [0.001, 0.02])
    def test_error_is_that_of_many_repetitions(self, light_error: float) -> None:
        """Standard deviation of 400 starts, known to 3.5 %; within four of that."""
        draw = np.random.default_rng(1)
        lines = []
        for _ in range(400):
            light = 900 * self.TIMES * (1 + light_error * draw.standard_normal(7))
            means = 64 + light + 0.3 * draw.standard_normal(7)
            lines.append(exposure_line(self.TIMES, means, np.full(7, 0.3**2), light_error))
        starts = np.array([line.start for line in lines])
        assert abs(starts.mean() - 64) < 4 * starts.std() / 20
        assert np.mean([line.error for line in lines]) == pytest.approx(starts.std(), rel=0.14)
        assert np.mean([line.scatter for line in lines]) == pytest.approx(1, abs=0.1)

    def test_frames_of_one_exposure_share_its_error(self) -> None:
        means = 64 + 900 * self.TIMES
        once = exposure_line(self.TIMES, means, np.full(7, 1e-6), 0.02)
        ten_times = exposure_line(np.repeat(self.TIMES, 10), np.repeat(means, 10), np.full(70, 1e-6), 0.02)
        assert ten_times.error == pytest.approx(once.error, rel=1e-3)
        assert ten_times.residual == pytest.approx(0, abs=1e-6)

    def test_two_exposures_have_no_scatter(self) -> None:
        line = exposure_line(np.array([1.0, 3.0]), np.array([74.0, 94.0]), np.ones(2))
        assert (line.start, line.slope, line.scatter) == (pytest.approx(64), pytest.approx(10), 0)


class TestUnitsOfTheSignal:
    """Values in [0, 1]: what is allowed is a part of the range, not a number of DN."""

    @staticmethod
    def frame(mean: float, black: float, white: float = 1.0, **known: Any) -> Frame:
        noisy = mean + 0.002 * np.random.default_rng(0).standard_normal((64, 64))
        return Frame(np.minimum(noisy, 0.9).astype(np.float32), None, (black,) * 4, white, path=Path("a.npy"), **known)

    def test_right_levels_pass(self) -> None:
        check_levels([self.frame(0.015, 0.015, 0.9, exposure_s=0.0), self.frame(2.0, 0.015, 0.9)])

    def test_a_dark_frame_at_another_level(self) -> None:
        with pytest.raises(ValueError, match=r"wrong black level: a\.npy, Y states 0 DN and exposure 0, .* is 0\.0149"):
            check_levels([self.frame(0.015, 0.0, exposure_s=0.0)])

    def test_dark_patches_below_black(self) -> None:
        with pytest.raises(ValueError, match=r"wrong black level: a\.npy, Y states 0\.03 DN, and its dark patches"):
            check_levels([self.frame(0.015, 0.03)])

    def test_a_pile_below_white(self) -> None:
        frame = self.frame(0.9, 0.0)
        with pytest.raises(ValueError, match=r"pile up at its largest value 0\.9, .*give white=0\.9"):
            check_levels([frame])

    def test_a_line_that_starts_elsewhere(self) -> None:
        frames = [self.frame(0.1 + 0.1 * i, 0.0, exposure_s=0.01 * i) for i in (1, 2, 4)]
        with pytest.raises(ValueError, match=r"lie on a line that starts at 0\.(0999|1000|1)\d*; the median"):
            check_levels(frames)


class TestWhite:
    def test_unknown(self) -> None:
        frame = sensor(ramp(3000.0), np.random.default_rng(0), white=None)
        with pytest.raises(
            ValueError, match=r"a\.dng does not say its white level: give white=.*, the largest sample here is"
        ):
            check_levels([frame])

    def test_below_samples(self) -> None:
        frame = sensor(ramp(900.0), np.random.default_rng(0), white=900.0)
        above = int((frame.values > 900).sum())
        message = rf"wrong white level: a\.dng states 900 DN, and {above} of 16384 samples lie above, up to 1023"
        with pytest.raises(ValueError, match=message):
            check_levels([frame])

    @pytest.mark.parametrize("white", [1100.0, 4095.0, 65535.0])
    def test_above_a_pile(self, white: float) -> None:
        frame = sensor(ramp(1500.0), np.random.default_rng(0), white=white)
        piled = int((frame.values == 1023).sum())
        message = (
            rf"states {white:g} DN, and {piled} of 16384 samples pile up at its largest value 1023, .*give white=1023"
        )
        with pytest.raises(ValueError, match=message):
            check_levels([frame])

    @pytest.mark.parametrize("white", [1100.0, 65535.0])
    def test_an_unsaturated_frame_has_no_pile(self, white: float) -> None:
        check_levels([sensor(np.full((128, 128), 500.0), np.random.default_rng(0), white=white)])
        check_levels([sensor(np.full((128, 128), 1.0), np.random.default_rng(0), white=white)])


class TestMeasured:
    """A CCD of 12 bits, black level 14.7 DN, saturation at 4095 (EMVA 1288 data)."""

    @pytest.fixture
    def listed(self, shared_data: Path) -> list[tuple[str, Path, float]]:
        folder = shared_data / "emva1288_ccd"
        found, kind, exposure = [], "", 0.0
        for line in (folder / "EMVA1288_Data.txt").read_text().splitlines():
            if line.startswith(("b ", "d ")):
                kind, exposure = line[0], float(line.split()[1]) * 1e-9
            elif line.startswith("i "):
                found.append((kind, folder / line[2:].strip(), exposure))
        return found[:102]  # the first exposure series and its dark frames; repetitions follow

    def test_its_levels_pass(self, listed: list[tuple[str, Path, float]]) -> None:
        check_levels(read_frame(path, black=14.7, white=4095, exposure_s=time) for kind, path, time in listed[:50])

    def test_wrong_ones_do_not(self, listed: list[tuple[str, Path, float]]) -> None:
        first, saturated = listed[0][1], listed[38][1]
        with pytest.raises(ValueError, match="states 100 DN, and its dark patches have a median of 29"):
            check_levels([read_frame(first, black=100, white=4095)])
        with pytest.raises(ValueError, match="give white=4095"):
            check_levels([read_frame(saturated, black=14.7, white=65535)])
        dark = next(path for kind, path, _ in listed if kind == "d")
        check_levels([read_frame(dark, black=14.7, white=4095, exposure_s=0)])
        with pytest.raises(ValueError, match="states 0 DN and exposure 0, and the median of its 307200 samples is 15"):
            check_levels([read_frame(dark, black=0, white=4095, exposure_s=0)])
