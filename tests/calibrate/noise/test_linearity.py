"""Whether the mean follows the light, and the light stands still."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from dirtypixels.calibrate.noise.exposures import FrameSet
from dirtypixels.calibrate.noise.linearity import Linearity, drift, drift_diagnostics, linearity, linearity_diagnostics
from dirtypixels.calibrate.noise.patches import PlaneBlocks, plane_blocks
from dirtypixels.raw.frames import Frame

BLACK, WHITE = 64.0, 4095.0
TIMES = np.linspace(0.06, 0.94, 10)


def blocks_of(seconds: float | None, *levels: npt.ArrayLike, deviation: float = 2.0, light: float = 1.0) -> PlaneBlocks:
    """Frames of these levels of the range."""
    random = np.random.default_rng(int(1e6 * (seconds or 0)))
    frames = []
    for level in levels:
        mean = BLACK + (WHITE - BLACK) * np.broadcast_to(level, (64, 64))
        values = np.clip(np.round(mean + deviation * random.standard_normal((64, 64))), 0, WHITE)
        frames.append(Frame(values.astype(np.uint16)))
    return plane_blocks(FrameSet(100.0, seconds, light, tuple(frames)), "Y", 16, 0.0, WHITE)


class TestLinearity:
    def test_a_line_has_no_error(self) -> None:
        found = linearity([blocks_of(t, t, t) for t in TIMES], BLACK, WHITE)
        assert found is not None
        # chance: a block's mean has 2 / sqrt(2 * 256) = 0.09 DN, 16 blocks a level: 0.01 % at 5 % of the range
        assert found.error < 2e-4

    def test_a_bend_is_found_as_polyfit_finds_it(self) -> None:
        """Against the weighted line of numpy's polyfit."""
        levels = TIMES * (1.05 - 0.1 * TIMES)
        found = linearity([blocks_of(t, v, v, deviation=0.5) for t, v in zip(TIMES, levels, strict=True)], BLACK, WHITE)
        slope, offset = np.polyfit(TIMES, levels, 1, w=1 / levels)
        expected = levels / (offset + slope * TIMES) - 1
        assert found is not None
        assert found.level == pytest.approx(levels, abs=2e-4)
        assert found.deviation == pytest.approx(expected, abs=3e-4)
        assert found.error == pytest.approx(np.abs(expected).mean(), abs=2e-4)
        assert abs(found.largest) == pytest.approx(np.abs(expected).max(), abs=3e-4)

    def test_light_counts_as_time_does(self) -> None:
        blocks = [blocks_of(0.01, v, v, light=v) for v in TIMES]
        found = linearity(blocks, BLACK, WHITE)
        assert found is not None
        assert found.error < 2e-4

    def test_saturation_is_not_taken_for_a_bend(self) -> None:
        found = linearity([blocks_of(t, min(t, 1.0), min(t, 1.0)) for t in (*TIMES, 1.2, 2.0)], BLACK, WHITE)
        assert found is not None
        assert found.error < 2e-4

    def test_two_exposures_or_unknown_times_say_nothing(self) -> None:
        assert linearity([blocks_of(t, t, t) for t in (0.2, 0.6)], BLACK, WHITE) is None
        assert linearity([blocks_of(None, t, t) for t in TIMES], BLACK, WHITE) is None
        assert linearity([blocks_of(t, 0.01, 0.01) for t in TIMES], BLACK, WHITE) is None

    @pytest.mark.parametrize(("error", "severity"), [(0.004, "note"), (0.02, "warning"), (0.08, "failure")])
    def test_diagnostics_by_how_far_off(self, error: float, severity: str) -> None:
        worst = Linearity(np.array([0.2, 0.6]), np.array([error / 2, -1.5 * error]))
        straight = Linearity(np.array([0.2, 0.6]), np.zeros(2))
        (diagnostic,) = linearity_diagnostics({"ISO 100, R": straight, "ISO 100, B": worst})
        assert diagnostic.severity == severity
        assert diagnostic.message.startswith("ISO 100, B: ")
        assert f"{error:.2%}" in diagnostic.message
        assert f"{-1.5 * error:+.2%} at 60%" in diagnostic.message
        assert linearity_diagnostics({"dark": None}) == ()


class TestDrift:
    def test_is_the_largest_change_from_the_mean(self) -> None:
        found = drift(blocks_of(0.5, 0.50, 0.51, 0.49), BLACK, WHITE)
        assert found == pytest.approx(0.02, abs=2e-4)

    def test_says_nothing_in_the_dark(self) -> None:
        assert math.isnan(drift(blocks_of(0.0, 0.0, 0.0), BLACK, WHITE))
        assert math.isnan(drift(blocks_of(0.5, 0.005, 0.005), BLACK, WHITE))
        assert math.isnan(drift(blocks_of(0.5, 1.2, 1.2), BLACK, WHITE))

    @pytest.mark.parametrize(
        ("change", "severity", "kind"),
        [(0.01, "note", "steady-light"), (0.05, "warning", "drift"), (0.3, "failure", "drift")],
    )
    def test_diagnostics_by_how_much(self, change: float, severity: str, kind: str) -> None:
        (diagnostic,) = drift_diagnostics({"ISO 100, 1 s": change, "ISO 100, 2 s": 0.001, "dark": math.nan})
        assert (diagnostic.severity, diagnostic.kind) == (severity, kind)
        assert ("ISO 100, 1 s" in diagnostic.message) == (kind == "drift")

    def test_nothing_is_said_of_the_dark(self) -> None:
        assert drift_diagnostics({"dark": math.nan}) == ()
