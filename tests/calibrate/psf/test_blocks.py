"""Blocks tile the frame, and nodes made from them are the blocks' own bilinear interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dirtypixels.calibrate.psf.blocks import Blocks, between, filled
from dirtypixels.camera import PsfField


@pytest.mark.parametrize(("frame", "rows", "columns"), [((3000, 4000), 9, 12), ((100, 130), 3, 4), ((64, 65), 1, 4)])
def test_every_pixel_lies_in_one_block(frame: tuple[int, int], rows: int, columns: int) -> None:
    grid = Blocks(frame, rows, columns)
    count = np.zeros(frame, dtype=int)
    for place in np.ndindex(rows, columns):
        block = grid.of(place)
        assert block[0].start % 2 == block[1].start % 2 == 0
        count[block] += 1
    assert (count == 1).all()
    sides = [[part.stop - part.start for part in grid.of(place)] for place in np.ndindex(rows, columns)]
    assert np.ptp(sides, axis=0).max() <= 3


def test_middles_are_those_of_the_pixels() -> None:
    grid = Blocks((90, 64), 3, 2)
    rows, columns = grid.middles
    np.testing.assert_allclose(rows, [14.5, 44.5, 74.5])
    np.testing.assert_allclose(columns, [15.5, 47.5])


def test_nodes_of_unsure_blocks_are_the_blocks_and_bilinear_between() -> None:
    rng = np.random.default_rng(0)
    psfs = rng.random((3, 4, 1, 5, 5)) + 0.1
    psfs /= psfs.sum((-2, -1), keepdims=True)
    nodes = Blocks((300, 400), 3, 4).nodes(psfs, np.full((3, 4, 1), np.nan))
    assert nodes.shape == (7, 9, 1, 5, 5)
    field = PsfField(torch.from_numpy(nodes), "made up", 1.0)
    for i, j in np.ndindex(3, 4):
        here = field.at(((i + 0.5) / 3, (j + 0.5) / 4)).numpy()
        np.testing.assert_allclose(here, psfs[i, j], atol=1e-12)
    # A third of the way from one middle to the next, and beyond the outermost.
    np.testing.assert_allclose(field.at((0.5 / 3, (0.5 + 1 / 3) / 4)).numpy(), (2 * psfs[0, 0] + psfs[0, 1]) / 3)
    np.testing.assert_allclose(field.at((1.0, 1.0)).numpy(), psfs[2, 3])


Parts = np.ndarray


def changing(grid: Blocks, bend: float) -> tuple[Parts, Parts]:
    """PSFs (R, C, 1, 5, 5) that are means over the blocks of a parabola over the frame, and its (3, 5, 5) parts."""
    parts = np.random.default_rng(1).random((3, 5, 5)) + 0.5
    parts /= parts.sum((-2, -1), keepdims=True)
    fine = (np.arange(6000) + 0.5) / 6000
    down, across = (weight(fine, bend).reshape(n, -1).mean(1) for n in (grid.rows, grid.columns))
    return np.array([[[mixed(parts, v, u)] for u in across] for v in down]), parts


def weight(at: Parts, bend: float) -> Parts:
    return at + bend * at**2


def mixed(parts: Parts, v: float, u: float) -> Parts:
    return np.asarray(parts[0] + 0.2 * v * (parts[1] - parts[0]) + 0.3 * u * (parts[2] - parts[0]))


@pytest.mark.parametrize("bend", [0.0, 1.0, -2.0])
def test_a_parabola_comes_back_at_every_node_up_to_the_border(bend: float) -> None:
    grid = Blocks((300, 400), 4, 5)
    psfs, parts = changing(grid, bend)
    nodes = grid.nodes(psfs)
    for i, j in np.ndindex(9, 11):
        v, u = (float(weight(np.array(k), bend)) for k in (i / 8, j / 10))
        np.testing.assert_allclose(nodes[i, j, 0], mixed(parts, v, u), atol=1e-7)


def test_of_a_change_the_part_that_may_be_noise_does_not_go_on() -> None:
    psfs = changing(Blocks((300, 400), 3, 4), 0.0)[0][:1]
    step = np.linalg.norm(psfs[0, 0] - psfs[0, 1])
    # Half of the squared change is noise, of which each of two blocks has a half.
    nodes = Blocks((100, 400), 1, 4).nodes(psfs, np.full(psfs.shape[:3], step / 2))
    np.testing.assert_allclose(nodes[1, 0], psfs[0, 0] + 0.5 * (psfs[0, 0] - psfs[0, 1]) / 2, atol=1e-12)
    np.testing.assert_allclose(nodes[1, 3], psfs[0, 1], atol=1e-12)


def test_what_goes_on_stays_a_psf() -> None:
    psfs = np.zeros((2, 2, 1, 3, 3))
    psfs[..., 1, 1], psfs[0, :, :, 0, 0] = 0.5, 0.5
    psfs[1, :, :, 2, 2] = 0.5
    nodes = Blocks((64, 64), 2, 2).nodes(psfs)
    assert nodes.min() == 0
    np.testing.assert_allclose(nodes.sum((-2, -1)), 1)


class TestFilled:
    def test_the_trusted_stay(self) -> None:
        values = np.random.default_rng(0).random((3, 4, 2))
        np.testing.assert_array_equal(filled(values, np.ones((3, 4), dtype=bool)), values)

    def test_inverse_squares_of_the_distances_to_the_nearest_four(self) -> None:
        values = np.random.default_rng(0).random((3, 3))
        trusted = np.ones((3, 3), dtype=bool)
        trusted[1, 1] = False
        found = filled(values, trusted)
        assert found[1, 1] == pytest.approx((values[0, 1] + values[1, 0] + values[1, 2] + values[2, 1]) / 4)
        trusted[0, 0] = trusted[0, 1] = False
        # From (0, 0): at distance 1 (1, 0); squares of distance 4, 4, 5, 5, ...; all as near as the fourth count.
        near = [((1, 0), 1), ((0, 2), 4), ((2, 0), 4), ((1, 2), 5), ((2, 1), 5)]
        expected = sum(values[place] / d for place, d in near) / sum(1 / d for _, d in near)
        assert filled(values, trusted)[0, 0] == pytest.approx(expected)

    def test_means_of_psfs_are_psfs(self) -> None:
        psfs = np.random.default_rng(0).random((2, 3, 1, 5, 5))
        psfs /= psfs.sum((-2, -1), keepdims=True)
        trusted = np.array([[True, False, False], [False, True, False]])
        found = filled(psfs, trusted)
        np.testing.assert_allclose(found.sum((-2, -1)), 1.0)
        assert (found >= 0).all()

    def test_what_is_unknown_is_not_looked_at(self) -> None:
        values = np.array([[1.0, np.nan]])
        np.testing.assert_array_equal(filled(values, np.isfinite(values)), [[1.0, 1.0]])

    def test_raises_where_nothing_is_known(self) -> None:
        with pytest.raises(ValueError, match="at least one block"):
            filled(np.zeros((2, 2)), np.zeros((2, 2), dtype=bool))


class TestBetween:
    def test_of_a_parabola_it_is_what_interpolation_misses(self) -> None:
        base, more = np.random.default_rng(0).random((2, 5, 5))
        at = np.arange(6.0)
        psfs = np.array([[[base + 0.01 * u**2 * more] for u in at] for _ in range(3)])
        missed = (psfs[1, 2, 0] + psfs[1, 3, 0]) / 2 - (base + 0.01 * 2.5**2 * more)
        found = between(psfs, np.zeros((3, 6, 1)))
        assert found[1, 2, 0] == pytest.approx(np.linalg.norm(missed) / np.linalg.norm(psfs[1, 2, 0]))

    def test_noise_alone_is_no_bend(self) -> None:
        rng = np.random.default_rng(0)
        noise = 0.01 * rng.standard_normal((40, 40, 1, 5, 5))
        psfs = np.ones((40, 40, 1, 5, 5)) + noise
        found = between(psfs, np.full((40, 40, 1), 0.01))  # |noise| / |psf| = 0.01 * 5 / 5
        assert np.median(found) < 0.002  # sqrt(2 * 6) * 0.01 / 8 = 0.0043 without taking it off

    def test_two_blocks_tell_no_bend(self) -> None:
        assert (between(np.random.default_rng(0).random((2, 2, 1, 5, 5)), np.zeros((2, 2, 1))) == 0).all()


@pytest.mark.parametrize(
    ("noise", "misfit", "expected"),
    [
        (0.02, 0.0, (6, 8)),  # nothing but noise
        (0.02, 0.035, (6, 8)),  # (2 * 3.1)^(1/3) = 1.8 times the blocks: not worth the time
        (0.02, 0.05, (9, 12)),  # (2 * 6.3)^(1/3) = 2.3 times the blocks
        (0.02, 10.0, (12, 16)),  # the finest
        (0.0, 0.0, (6, 8)),
    ],
)
def test_finer_where_the_psf_changes_fast(noise: float, misfit: float, expected: tuple[int, int]) -> None:
    grid = Blocks((3000, 4000), 6, 8).refined(15, 2, noise, misfit)
    assert (grid.rows, grid.columns) == expected


def test_finer_blocks_keep_enough_samples() -> None:
    # 16 samples of each color a tap: 2 * 31 * 4 = 248 px of side at least
    grid = Blocks((1500, 2000), 4, 5).refined(31, 2, 0.01, 1.0)
    assert (grid.rows, grid.columns) == (6, 8)


@pytest.mark.parametrize(
    ("frame", "size", "step", "expected"),
    [
        ((3000, 4000), 15, 2, (9, 12)),
        ((1200, 1600), 15, 2, (5, 7)),
        ((1200, 1600), 15, 1, (9, 12)),
        ((400, 500), 25, 2, (3, 3)),
    ],
)
def test_as_many_as_the_samples_allow(frame: tuple[int, int], size: int, step: int, expected: tuple[int, int]) -> None:
    grid = Blocks.for_size(frame, size, step)
    assert (grid.rows, grid.columns) == expected


def test_fewer_where_there_is_more_noise() -> None:
    grids = [Blocks.for_size((1200, 1600), 15, 2, snr) for snr in (60, 28, 25, 0)]
    assert [(grid.rows, grid.columns) for grid in grids] == [(5, 7), (5, 7), (4, 5), (3, 4)]


@pytest.mark.parametrize(
    ("rows", "columns", "error", "message"),
    [
        (0, 3, ValueError, "blocks must be 1 to 6 rows for a frame of 100 x 200 pixels; found 0"),
        (3, 13, ValueError, "blocks must be 1 to 12 columns"),
        (2.5, 3, TypeError, "integers .*found float for rows"),
        (True, 3, TypeError, "found bool"),
    ],
)
def test_raises(rows: int, columns: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Blocks((100, 200), rows, columns)
