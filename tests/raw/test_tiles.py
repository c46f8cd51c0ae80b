"""A plane in square blocks."""

from __future__ import annotations

import numpy as np

from dirtypixels.raw.tiles import SIDE, tiles


def test_blocks_are_the_planes_own() -> None:
    values = np.arange(40 * 70).reshape(40, 70)
    found = tiles(values)
    assert found.shape == (2, SIDE, 4, SIDE)
    np.testing.assert_array_equal(found[1, :, 2], values[16:32, 32:48])
    assert np.shares_memory(found, values)


def test_many_are_spread_evenly() -> None:
    values = np.zeros((64, 128))
    assert tiles(values, 32).shape == (4, SIDE, 8, SIDE)
    np.testing.assert_array_equal(tiles(np.arange(64 * 128).reshape(64, 128), 8)[:, 0, :, 0].ravel() // 128,
                                  [0, 0, 0, 0, 32, 32, 32, 32])  # fmt: skip


def test_a_plane_smaller_than_a_block_is_one() -> None:
    assert tiles(np.zeros((5, 40))).shape == (1, 5, 8, 5)
