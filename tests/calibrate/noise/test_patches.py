"""Blocks of frames as patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dirtypixels.calibrate.noise.exposures import FrameSet
from dirtypixels.calibrate.noise.patches import patch_stack, plane_blocks, spread_over_levels
from dirtypixels.raw.frames import Frame

WHITE = 1023.0


def frame_set(*values: npt.NDArray[Any], cfa: str | None = None) -> FrameSet:
    return FrameSet(100.0, 0.01, 1.0, tuple(Frame(v.astype(np.uint16), cfa) for v in values))


def noisy(mean: npt.ArrayLike, deviation: float, frames: int, shape: tuple[int, int], seed: int = 0) -> FrameSet:
    random = np.random.default_rng(seed)
    mean = np.broadcast_to(mean, shape)
    return frame_set(
        *(np.clip(np.round(mean + deviation * random.standard_normal(shape)), 0, WHITE) for _ in range(frames))
    )


class TestPlaneBlocks:
    def test_statistics_are_those_of_each_block(self) -> None:
        known = noisy(200.0, 10.0, 3, (40, 50))
        found = plane_blocks(known, "Y", 16, 0.0, WHITE)
        stack = np.stack([f.values.astype(float) for f in known.frames])
        assert found.mean.shape == (6,)
        assert found.row.tolist() == [0, 0, 0, 16, 16, 16]
        for i in range(6):
            block = stack[:, found.row[i] : found.row[i] + 16, found.column[i] : found.column[i] + 16]
            means = block.mean((1, 2))
            moved = block - means[:, None, None]
            variance = ((moved - moved.mean(0)) ** 2).sum() / (2 * (16 * 16 - 1))
            assert found.mean[i] == pytest.approx(block.mean())
            assert found.frame_means[:, i] == pytest.approx(means)
            assert found.standard_deviation[i] == pytest.approx(np.sqrt(variance))

    def test_drift_does_not_count_as_noise(self) -> None:
        still = np.tile(np.arange(64.0) * 4, (64, 1)) + 100
        found = plane_blocks(frame_set(still, still + 50), "Y", 16, 0.0, WHITE)
        assert found.standard_deviation == pytest.approx(0, abs=1e-6)
        assert found.frame_means[1] - found.frame_means[0] == pytest.approx(50)

    def test_a_color_is_looked_at_alone(self) -> None:
        values = np.zeros((64, 64))
        values[::2, ::2], values[::2, 1::2], values[1::2, ::2], values[1::2, 1::2] = 10, 20, 30, 40
        known = frame_set(values, values, cfa="RGGB")
        for plane, level in (("R", 10), ("Gr", 20), ("Gb", 30), ("B", 40)):
            found = plane_blocks(known, plane, 16, 0.0, WHITE)
            assert found.mean.tolist() == [level] * 4

    def test_slopes_and_fixed_pattern_are_smooth_and_edges_are_not(self) -> None:
        random = np.random.default_rng(1)
        slope = (
            300 + 2 * np.arange(128.0) + random.normal(0, 20, (128, 128))
        )  # slope 6 and pattern 2 deviations of noise
        assert plane_blocks(noisy(slope, 10.0, 2, (128, 128)), "Y", 32, 0.0, WHITE).smooth.all()
        edge = np.full((128, 128), 300.0)
        edge[:, 80:] = 400.0
        found = plane_blocks(noisy(edge, 10.0, 2, (128, 128)), "Y", 32, 0.0, WHITE)
        assert (~found.smooth).reshape(4, 4).tolist() == [[False, False, True, False]] * 4

    def test_clipped_samples_are_counted(self) -> None:
        values = np.full((16, 32), WHITE)
        values[:, 16:] = 500
        values[:4, 16:] = 0
        found = plane_blocks(frame_set(values, values), "Y", 16, 0.0, WHITE)
        assert found.high.tolist() == [1, 0]
        assert found.low.tolist() == [0, 0.25]
        assert found.saturated.tolist() == [True, False]
        assert not found.unclipped.any()

    def test_hot_pixels_are_those_hot_in_every_frame(self) -> None:
        known = noisy(60.0, 3.0, 3, (64, 64))
        for frame in known.frames:
            frame.values[10, 10] = 200
        known.frames[0].values[40, 40] = 200  # hot once: chance, not a hot pixel
        found = plane_blocks(known, "Y", 32, 0.0, WHITE)
        assert found.hot.tolist() == [1, 0, 0, 0]

    @pytest.mark.parametrize("size", [0, 4, 18])
    def test_raises_on_block_sizes_that_do_not_do(self, size: int) -> None:
        with pytest.raises(ValueError, match=f"block must be a multiple of 4, at least 8; found {size}"):
            plane_blocks(noisy(60.0, 3.0, 2, (64, 64)), "Y", size, 0.0, WHITE)

    def test_raises_on_a_frame_of_less_than_two_blocks(self) -> None:
        with pytest.raises(ValueError, match=r"at least two blocks of 32 x 32.*48 x 63"):
            plane_blocks(noisy(60.0, 3.0, 2, (48, 63)), "Y", 32, 0.0, WHITE)


class TestSpreadOverLevels:
    def test_all_are_taken_where_they_fit(self) -> None:
        assert spread_over_levels(np.arange(10.0), 10).tolist() == list(range(10))

    def test_rare_levels_are_kept_whole(self) -> None:
        means = np.concatenate([np.full(5000, 100.0), np.full(3, 500.0), np.full(5000, 900.0)])
        chosen = spread_over_levels(means, 200)
        assert len(chosen) == 200 == len(set(chosen.tolist()))
        assert np.sum(means[chosen] == 500) == 3
        assert abs(np.sum(means[chosen] == 100) - np.sum(means[chosen] == 900)) <= 1

    def test_one_level_is_spread_over_the_order(self) -> None:
        chosen = spread_over_levels(np.full(1000, 5.0), 11)
        assert chosen[0] == 0
        assert chosen[-1] == 999
        assert np.ptp(np.diff(chosen)) <= 1


class TestPatchStack:
    def test_patches_are_the_blocks_themselves(self) -> None:
        known = noisy(200.0, 10.0, 2, (64, 64))
        found = plane_blocks(known, "Y", 16, 0.0, WHITE)
        stack, _, diagnostics = patch_stack([found], [0.0], WHITE, 100, "Y")
        assert stack.shape == (2, 16, 16, 16)
        assert not diagnostics
        for f in range(2):
            assert np.array_equal(stack[f, 5], known.frames[f].values[16:32, 16:32])

    def test_edges_and_white_blocks_are_left_out(self) -> None:
        scene = np.full((64, 64), 300.0)
        scene[:, 8:12] = 900
        scene[:16, 32:48] = 5000
        found = plane_blocks(noisy(scene, 5.0, 2, (64, 64)), "Y", 16, 0.0, WHITE)
        stack, _, diagnostics = patch_stack([found], [0.0], WHITE, 100, "Y")
        assert stack.shape[1] == 16 - 4 - 1
        assert not diagnostics

    def test_more_frames_make_more_patches(self) -> None:
        blocks = [plane_blocks(noisy(200.0, 5.0, n, (32, 32), n), "Y", 16, 0.0, WHITE) for n in (2, 5)]
        stack, _, (unused,) = patch_stack(blocks, [0.0, 0.0], WHITE, 100, "Y")
        assert stack.shape == (2, 4 + 2 * 4, 16, 16)
        assert unused.kind == "unused-frames"
        assert unused.message.startswith("Y: 1 frames did not fill a set of 2")
        later = blocks[1].frame_set.frames[2].values[:16, :16]
        assert any(np.array_equal(stack[0, p], later) for p in range(12))

    def test_planes_of_other_black_level_come_to_the_first_one_and_white_stays(self) -> None:
        values = np.zeros((32, 64))
        values[::2, 1::2], values[1::2, ::2] = 64 + 100, 74 + 100
        values[::2, 33::2] = values[1::2, 32::2] = WHITE
        values[0, 33] = values[1, 32] = WHITE - 1  # not wholly white
        known = frame_set(values, values, cfa="RGGB")
        blocks = [plane_blocks(known, plane, 16, 0.0, WHITE) for plane in ("Gr", "Gb")]
        stack, *_ = patch_stack(blocks, [64.0, 74.0], WHITE, 100, "G")
        signal = (stack[0] - 64) / (WHITE - 64)
        assert signal[0].mean() == pytest.approx(100 / (WHITE - 64), rel=1e-6)
        assert signal[2].mean() == pytest.approx(100 / (WHITE - 74), rel=1e-6)
        assert stack[0, 1].max() == stack[0, 3].max() == WHITE

    def test_all_planes_are_clipped_at_the_highest_floor(self) -> None:
        values = np.random.default_rng(0).integers(0, 20, (2, 32, 64)).astype(float)
        blocks = [plane_blocks(frame_set(*values, cfa="RGGB"), plane, 16, 0.0, WHITE) for plane in ("Gr", "Gb")]
        for step, expected in ((1.0, 2.0), (0.0, 3 - (WHITE - 3) / (WHITE - 1))):
            stack, lowest, _ = patch_stack(blocks, [3.0, 1.0], WHITE, 100, "G", 0.0, step)
            assert lowest == pytest.approx(expected, rel=1e-6)
            assert stack[:, :2].min() == np.float32(lowest)
            assert stack[:, 2:].min() == pytest.approx(lowest, abs=0.01)
