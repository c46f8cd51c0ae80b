"""Black levels, found and compared with what is stated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dirtypixels.calibrate.noise.black import BlackLevel, _unclipped, _unclipped_variance, black_level, from_exposures
from dirtypixels.calibrate.noise.exposures import FrameSet
from dirtypixels.calibrate.noise.patches import PlaneBlocks, plane_blocks
from dirtypixels.raw.frames import Frame

WHITE = 4095.0


def blocks_of(
    seconds: float | None,
    level: float,
    *,
    deviation: float = 4.0,
    frames: int = 2,
    light: float = 1.0,
    moved: float = 0.0,
    seed: int = 0,
    shape: tuple[int, int] = (64, 64),
) -> PlaneBlocks:
    """Frames of a level, each moved as a whole by N(0, moved^2)."""
    random = np.random.default_rng((seed, int(1e6 * (seconds or 0))))
    values = [
        np.clip(
            np.round(level + moved * random.standard_normal() + deviation * random.standard_normal(shape)), 0, WHITE
        )
        for _ in range(frames)
    ]
    known = tuple(Frame(v.astype(np.uint16)) for v in values)
    return plane_blocks(FrameSet(100.0, seconds, light, known), "Y", 16, 0.0, WHITE)


def found(*blocks: PlaneBlocks, given: float | None = None) -> tuple[BlackLevel, list[str]]:
    black, diagnostics = black_level(blocks, given, floor=0.0, white=WHITE, confidence=0.95, name="ISO 100")
    return black, [f"{f.severity} {f.kind}: {f.message}" for f in diagnostics]


class TestDarkFrames:
    def test_the_level_is_in_its_interval_as_often_as_it_says(self) -> None:
        """95 % intervals of 400 levels: 380 expected, standard deviation 4.4; here within 4 of these."""
        inside = 0
        for seed in range(400):
            black, _ = found(blocks_of(0.0, 64.3, seed=seed, shape=(32, 32)))
            assert black.interval is not None
            assert black.source == "dark frames"
            inside += black.interval[0] <= 64.3 <= black.interval[1]
        assert 380 - 18 <= inside <= 380 + 18

    def test_a_level_that_moves_between_frames_widens_the_interval(self) -> None:
        inside = 0
        for seed in range(300):
            black, _ = found(blocks_of(0.0, 64.0, frames=6, moved=1.0, seed=seed, shape=(32, 32)))
            assert black.interval is not None
            inside += black.interval[0] <= 64.0 <= black.interval[1]
        assert stats.binom.cdf(inside, 300, 0.95) > 1e-4

    def test_dark_current_is_the_slope_and_the_level_that_of_no_time(self) -> None:
        black, _ = found(*(blocks_of(t, 64 + 50 * t, frames=4, light=0.0) for t in (0.0, 0.2, 0.5, 1.0)))
        assert black.dark_current is not None
        assert black.interval is not None
        current, (low, high) = black.dark_current
        assert low < 50 < high
        assert high - low < 2
        assert abs(current - 50) < 1
        assert black.interval[0] < 64 < black.interval[1]
        assert black.interval[1] - black.interval[0] < 0.5

    def test_clipped_dark_frames_cover_as_they_say(self) -> None:
        """40 % of the samples at the floor: 285 of 300 intervals expected, within 4 deviations of 3.8."""
        inside = 0
        for seed in range(300):
            black, _ = found(blocks_of(0.0, 2.0, deviation=6.0, seed=seed, shape=(32, 32)))
            assert black.interval is not None
            inside += black.interval[0] <= 2.0 <= black.interval[1]
        assert abs(inside - 285) <= 4 * 3.8

    def test_clipped_dark_frames_give_the_level_below_the_floor(self) -> None:
        """Level 1 DN, noise 4 DN: 45 % of the samples are 0. Bound: 5 standard errors of the mean of two frames, and
        twice that for the deviation, which is found with it."""
        black, notes = found(blocks_of(0.0, 1.0, shape=(256, 256)))
        assert abs(black.value - 1.0) < 2 * 5 * 4.0 / 256 / np.sqrt(2)
        assert notes
        assert notes[0].startswith("note clipped-dark")

    def test_dark_frames_at_the_floor_put_the_level_there(self) -> None:
        black, (note,) = found(blocks_of(0.0, 0.0, deviation=0.1))
        assert black.value == 0
        assert "100% of the dark samples are at the floor of 0 DN; the black level is there" in note

    @pytest.mark.parametrize("given", [64.0, 64.4, 63.5])
    def test_a_stated_level_that_agrees_is_kept(self, given: float) -> None:
        black, notes = found(blocks_of(0.0, 64.0), given=given)
        assert black.value == black.given == given
        assert not notes

    def test_a_wrong_level_fails_and_says_found_and_stated(self) -> None:
        black, notes = found(blocks_of(0.0, 64.0), given=256.0)
        assert abs(black.value - 64) < 0.5
        assert black.given == 256
        (note,) = notes
        assert note.startswith("failure black-level: ISO 100: black level 256 DN is stated, 6")
        assert "dark frames" in note


class TestIntercept:
    def test_the_line_of_mean_over_exposure_meets_black(self) -> None:
        blocks = [blocks_of(t, 64 + 3000 * t, seed=1) for t in (0.02, 0.1, 0.3, 0.6, 1.0)]
        black, notes = found(*blocks)
        assert black.source == "intercept"
        assert black.interval is not None
        assert black.interval[0] < 64 < black.interval[1]
        assert notes[0].startswith("note black-intercept")
        assert "dark frames" in notes[0]

    def test_covers_as_it_says(self) -> None:
        """Relative errors of the light of 0.2 %, twice what is assumed: 285 of 300, within 4 deviations of 3.8."""
        inside = 0
        for seed in range(300):
            random = np.random.default_rng((seed, 7))
            lights = 1 + 2e-3 * random.standard_normal(6)
            times = (0.02, 0.05, 0.1, 0.3, 0.6, 1.0)
            blocks = [
                blocks_of(t, 64 + 3000 * t * v, seed=seed, deviation=1.0, shape=(32, 32))
                for t, v in zip(times, lights, strict=True)
            ]
            fit = from_exposures(blocks, WHITE, 0.95)
            assert fit is not None
            inside += abs(fit.value - 64) <= fit.half
        assert inside >= 285 - 4 * 3.8

    def test_saturated_exposures_are_not_used(self) -> None:
        blocks = [blocks_of(t, min(64 + 3000 * t, WHITE), seed=1) for t in (0.1, 0.3, 0.6, 1.0, 2.0, 3.0)]
        black, _ = found(*blocks)
        assert black.interval is not None
        assert black.interval[0] < 64 < black.interval[1]

    def test_a_wrong_level_fails(self) -> None:
        blocks = [blocks_of(t, 64 + 3000 * t, seed=1) for t in (0.02, 0.1, 0.3, 0.6, 1.0)]
        black, notes = found(*blocks, given=0.0)
        assert abs(black.value - 64) < 1
        assert notes[0].startswith("failure black-level")
        assert "the intercept" in notes[0]

    def test_a_line_that_does_not_fit_overrules_nothing(self) -> None:
        """Light of a third reached one frame: the line starts 20 DN too low, and all but that frame lie on another."""
        blocks = [blocks_of(t, 64 + 3000 * t, seed=1) for t in (0.02, 0.06, 0.15, 0.3, 0.5, 0.7, 0.9)]
        leaking = [blocks_of(0.01, 64 + 3000 * 0.01 * 0.35, seed=1), *blocks]
        fit = from_exposures(leaking, WHITE, 0.95)
        assert fit is not None
        assert abs(fit.value - 64) > fit.half + 4.1
        assert abs(fit.value - 64) < fit.reach
        black, (note,) = found(*leaking, given=64.0)
        assert black.value == 64
        assert black.interval is not None
        assert black.interval[0] < 64 < black.interval[1]
        assert note.startswith("warning black-doubted: ISO 100: the means do not lie on a line over exposure (worst")
        assert "ISO 100, 0.01 s, -65% from that of the others" in note
        assert "lens cap" in note
        unknown, (note,) = found(*leaking)
        assert unknown.interval is not None
        assert unknown.interval[0] < 64 < unknown.interval[1]
        assert note.startswith("warning black-intercept")
        assert "do not lie on a line" in note

    def test_a_line_that_does_not_fit_fails_where_it_speaks_against_the_level_all_the_same(self) -> None:
        times = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
        errors = (0.03, -0.03, 0.02, -0.02, 0.03, -0.01, 0.02, -0.02)
        blocks = [blocks_of(t, 64 + 3000 * t * (1 + e), seed=1) for t, e in zip(times, errors, strict=True)]
        black, (note,) = found(*blocks, given=400.0)
        assert black.value == 400
        assert note.startswith("failure black-doubted")
        assert "whichever exposure is left out" in note
        assert not found(*blocks, given=64.0)[1]

    def test_a_line_that_starts_below_the_floor(self) -> None:
        """By chance: black is at the floor. By far: the response is not linear."""
        black, _ = found(*(blocks_of(t, -0.02 + 3000 * t, seed=1) for t in (0.02, 0.1, 0.3, 0.6, 1.0)))
        assert black.interval is not None
        assert black.interval[0] < black.value == 0 < black.interval[1]
        with pytest.raises(
            ValueError, match=r"ISO 100 must have a black level of at least 0 DN.* found -\d+\.\d+ DN.*raw"
        ):
            found(*(blocks_of(t, -20 + 3000 * t, seed=1) for t in (0.02, 0.1, 0.3, 0.6, 1.0)))

    @pytest.mark.parametrize("times", [(0.1, 0.3), (0.1, 0.1, 0.3), (None, None, None)])
    def test_fewer_than_three_exposure_times_say_nothing(self, times: tuple[float | None, ...]) -> None:
        blocks = [blocks_of(t, 500.0, seed=i) for i, t in enumerate(times)]
        assert from_exposures(blocks, WHITE, 0.95) is None
        black, notes = found(*blocks, given=64.0)
        assert black == BlackLevel(64.0, None, "given", 64.0)
        assert notes[0].startswith("warning black-unchecked")
        with pytest.raises(ValueError, match=r"black must be given where it cannot be measured \(ISO 100"):
            found(*blocks)


class TestUnitsOfTheSignal:
    """Floats in [0, 1]: nothing is to hang on digital numbers."""

    @staticmethod
    def dark(level: float, deviation: float, floor: float) -> PlaneBlocks:
        random = np.random.default_rng(0)
        values = [np.maximum(level + deviation * random.standard_normal((128, 128)), floor) for _ in range(2)]
        known = tuple(Frame(v.astype(np.float32), black=(0.0,) * 4, white=1.0) for v in values)
        return plane_blocks(FrameSet(100.0, 0.0, 1.0, known), "Y", 16, floor, 1.0)

    def test_a_wrong_level_fails(self) -> None:
        black, (diagnostic,) = black_level(
            [self.dark(0.015, 0.001, -np.inf)], 0.0, floor=-np.inf, white=1.0, confidence=0.95, name="ISO 100", step=0.0
        )
        assert abs(black.value - 0.015) < 5e-5
        assert diagnostic.severity == "failure"
        assert "black level 0 DN is stated, 0.0150" in diagnostic.message

    def test_a_right_level_is_kept(self) -> None:
        black, diagnostics = black_level(
            [self.dark(0.0, 0.001, -np.inf)], 0.0, floor=-np.inf, white=1.0, confidence=0.95, name="ISO 100", step=0.0
        )
        assert black.value == 0
        assert not diagnostics

    def test_clipped_dark_frames(self) -> None:
        """Half of the samples at 0. Bound: 5 standard errors, twice that for the deviation found with it."""
        black, _ = black_level(
            [self.dark(0.0, 0.003, 0.0)], None, floor=0.0, white=1.0, confidence=0.95, name="ISO 100", step=0.0
        )
        assert abs(black.value) < 2 * 5 * 0.003 / 128 / np.sqrt(2)
        assert black.interval is not None
        assert black.interval[0] < 0 < black.interval[1]


@pytest.mark.parametrize(
    ("level", "deviation", "step"), [(-2, 3, 1), (0, 0.8, 1), (-0.3, 0.8, 1), (0, 2, 1), (1, 1, 1), (-1, 2, 0)]
)
def test_a_mean_is_found_behind_the_floor(level: float, deviation: float, step: float) -> None:
    """Up to 84 % of the samples at the floor; within five of the standard errors that are stated."""
    values = np.random.default_rng(3).normal(level, deviation, 40_000)
    seen = np.maximum(np.round(values) if step else values, 0.0)
    at_floor, mean = float((seen <= step / 4).mean()), float(seen.mean())
    found = _unclipped(mean, at_floor, 0.0, step)
    error = np.sqrt(_unclipped_variance(mean, float(seen.var()), at_floor, 0.0, step) / seen.size)
    assert abs(found - level) < 5 * error
    assert error < 0.1 * deviation


def test_noise_that_only_reaches_the_next_code_is_taken_as_small() -> None:
    assert _unclipped(0.2, 0.8, 0.0, 1.0) == pytest.approx(0.5, abs=0.01)
