"""Mosaics: whether frames are mosaicked as they state, and one picture at full resolution from one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels import checks
from dirtypixels.raw.frames import CFA_PATTERNS, Frame, plane_slices
from dirtypixels.raw.levels import rounding
from dirtypixels.raw.tiles import MANY, tiles

_ALIKE = 0.05  # of the light: greens and places of a monochrome sensor differ by a few hundredths
_UNLIKE = 0.1  # places under color filters, and places that are no greens: those differ by less in oblique light too
_DARK = 5e-3  # of the range: too dark to tell

_DIAGONALS = {"RGGB or BGGR": (1, 2), "GRBG or GBRG": (0, 3)}
"""Where the greens lie among the four places of the 2 x 2 pattern, in reading order."""


def check_mosaic(frames: Iterable[Frame]) -> None:
    """Raise where the four places of the 2 x 2 pattern show another mosaic than the frame states, see `check_cfa`.

    Raises:
        ValueError: a frame without cfa looks mosaicked, or the two greens of one with a cfa are not alike.

    >>> frame = Frame(np.tile(np.array([[100, 300], [300, 200]], np.uint16), (32, 32)), black=(0.0,) * 4, white=1023.0)
    >>> check_mosaic([frame])
    Traceback (most recent call last):
    ValueError: ...
    """
    for frame in frames:
        if min(frame.values.shape) < 2:
            continue
        places = [frame.values[i // 2 :: 2, i % 2 :: 2] for i in range(4)]
        medians = np.array([float(np.median(place)) for place in places])
        black = np.array(frame.black or (0.0,) * 4)
        white = float(frame.values.max()) if frame.white is None else frame.white
        if (medians - black).mean() < max(_DARK * (white - float(black.min())), 40 * rounding(frame, white)):
            continue
        blocks = [tiles(place, MANY).astype(np.float32) for place in places]
        light = [block.mean((1, 3)).ravel() - level for block, level in zip(blocks, black, strict=True)]
        # From neighbors, so that a slope of the light is no noise.
        error = [np.sqrt((np.diff(block) ** 2).mean((1, 3)) / (2 * block[0, :, 0].size)).ravel() for block in blocks]
        seen = f"the 2 x 2 places have medians of {' '.join(f'{place:g}' for place in medians)} DN"
        check_cfa(frame.cfa, np.stack(light, 1), np.stack(error, 1), frame.name, seen)


def check_cfa(cfa: str | None, light: npt.NDArray[Any], error: npt.NDArray[Any], name: str, seen: str) -> None:
    """Raise where the light at the four places of the 2 x 2 pattern is that of another mosaic than `cfa`.

    ``d^2 = mean((a - b)^2) - (1 + 15 / sqrt(N)) mean(error_a^2 + error_b^2)``

    of the two places a, b of a diagonal is how much they differ beyond noise, sixteen variances of which are taken from
    one measurement and little more than one from many. Both greens see the same light and are alike in every part of a
    frame; so are all four places of a monochrome sensor. Which of the others is red cannot be seen. Where all are
    alike, as under gray light of a camera whose channels are scaled, nothing speaks against a pattern.

    Args:
        cfa: that is stated; None for a monochrome sensor.
        light: (N, 4) of the four places, in reading order, in N parts of the frame; any unit, black 0.
        error: (N, 4) their standard errors.
        name: of the frame, for the message.
        seen: what was measured, for the message.

    Raises:
        ValueError: there is no cfa and places differ as under color filters, or the places that the cfa calls green do.
    """
    level = light.mean(0)
    taken = 1 + 15 / np.sqrt(len(light))
    apart = {}
    for patterns, (i, j) in _DIAGONALS.items():
        noise = taken * (error[:, i] ** 2 + error[:, j] ** 2).mean()
        differ = np.sqrt(max(((light[:, i] - light[:, j]) ** 2).mean() - noise, 0.0))
        apart[patterns] = float(differ / max((level[i] + level[j]) / 2, 1e-9))
    alike = [patterns for patterns, difference in apart.items() if difference < _ALIKE]
    if cfa is None:
        spread = np.ptp(level) - 4 * float(np.sqrt((error**2).mean(0).max() / len(light)))
        if alike and spread > _UNLIKE * level.mean():
            raise ValueError(
                f"{name} states no cfa, but {seen}, as under color filters: give cfa=, {' or '.join(alike)} "
                "(if there are none, the frame cannot be taken as it is)"
            )
        return
    stated = next(patterns for patterns in _DIAGONALS if cfa in patterns)
    if apart[stated] <= _UNLIKE:
        return
    likely = (
        f"the others are, so the greens lie on the other diagonal: give cfa=, {alike[0]}"
        if alike
        else "no other cfa fits: the picture may be scaled, demosaicked, or cropped amid its mosaic"
    )
    raise ValueError(f"{name} states the cfa {cfa}, but {seen}: the two that it calls green are not alike; {likely}")


def full_green(signal: npt.NDArray[Any], cfa: str | None) -> npt.NDArray[np.float32]:
    """Green at every pixel: measured where it was, elsewhere the mean of its four neighbors.

    The filter is symmetric about each pixel, so nothing moves; it only blurs every second pixel a little. Gr and Gb are
    scaled to their common mean first, as a difference in gain between them would leave a checkerboard.

    Args:
        signal: (H, W) linear light of a mosaic, black level removed; or of a monochrome sensor.
        cfa: colors of the top left 2 x 2 pixels, e.g. "RGGB"; None returns the signal itself.

    Raises:
        ValueError: the signal is not of two dimensions, or of odd size though there is a cfa, or the cfa is unknown.
    """
    found = np.asarray(signal)
    if found.ndim != 2:
        raise ValueError(f"signal must have shape (H, W); found {found.shape}")
    green = np.array(found, dtype=np.float32)
    if cfa is None:
        return green
    checks.one_of("cfa", cfa, (None, *CFA_PATTERNS))
    if found.shape[0] % 2 or found.shape[1] % 2:
        raise ValueError(f"signal of a mosaic must have an even height and width; found {found.shape}")
    where = plane_slices(cfa)
    means = {name: float(green[where[name]].mean()) for name in ("Gr", "Gb")}
    both = (means["Gr"] + means["Gb"]) / 2
    for name, mean in means.items():
        # A plane whose mean is about 0 or below (a black frame) tells no gain.
        if mean > 0 and both > 0:
            green[where[name]] *= np.float32(both / mean)
    padded = np.pad(green, 1, mode="reflect")
    neighbors = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4
    for name in ("R", "B"):
        green[where[name]] = neighbors[where[name]]
    return green
