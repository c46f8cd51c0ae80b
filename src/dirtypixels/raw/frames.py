"""One sensor frame, in digital numbers, and what its file says of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dirtypixels import checks

CFA_PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")


@dataclass(frozen=True, eq=False)
class Frame:
    """What a sensor measured, before anything was done to it.

    Args:
        values: (H, W) digital numbers, mosaicked or monochrome, float32 or uint16; H and W even if there is a cfa.
        cfa: colors of the top left 2 x 2 pixels in reading order, e.g. "RGGB"; None for a monochrome sensor.
        black: black level in DN of the four places of the 2 x 2 pattern in reading order (all alike where there is no
            cfa); None where the file does not say.
        white: DN at which the sensor saturates; None where the file does not say.
        iso: gain; None where unknown.
        exposure_s: exposure time in seconds, >= 0 (0 for a dark frame); None where unknown.
        camera: make and model; None where unknown.
        path: the file that it came from.
        sha256: digest of that file.
        exif: everything else worth keeping of the file's metadata, as text.

    Raises:
        TypeError: values are no numpy array of float32 or uint16.
        ValueError: values are empty, not (H, W), not finite, or of odd size though there is a cfa; the cfa is unknown;
            a level, the gain or the exposure is not finite or out of range; black is not below white.

    >>> frame = Frame(np.full((4, 6), 300, np.uint16), cfa="RGGB", black=(256.0,) * 4, white=4095.0, iso=100.0)
    >>> frame.planes()["Gr"].shape, frame.black_of("Gr")
    ((2, 3), 256.0)
    """

    values: npt.NDArray[Any]
    cfa: str | None = None
    black: tuple[float, float, float, float] | None = None
    white: float | None = None
    iso: float | None = None
    exposure_s: float | None = None
    camera: str | None = None
    path: Path | None = None
    sha256: str | None = None
    exif: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_values(self.values)
        if self.cfa is not None:
            checks.one_of("cfa", self.cfa, CFA_PATTERNS)
            if self.values.shape[0] % 2 or self.values.shape[1] % 2:
                height, width = self.values.shape
                raise ValueError(
                    f"values must have even height and width where there is a cfa; found {height} x {width}"
                )
        if self.black is not None:
            if len(self.black) != 4:
                raise ValueError(f"black must be 4 numbers, one a place of the 2 x 2 pattern; found {len(self.black)}")
            checks.in_range("black", torch.tensor(self.black, dtype=torch.float64))
            if self.cfa is None and len(set(self.black)) > 1:
                raise ValueError(f"black must be alike at all four places where there is no cfa; found {self.black}")
        if self.white is not None:
            checks.in_range("white", self.white)
            if self.black is not None and max(self.black) >= self.white:
                raise ValueError(f"black must be below white {self.white:g}; found {max(self.black):g}")
        if self.iso is not None:
            checks.in_range("iso", self.iso)
            if self.iso <= 0:
                raise ValueError(f"iso must be above 0 (None where unknown); found {self.iso:g}")
        if self.exposure_s is not None:
            checks.in_range("exposure_s", self.exposure_s, low=0.0)

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return "a frame without a file" if self.path is None else self.path.name

    def planes(self) -> dict[str, npt.NDArray[Any]]:
        """The frame taken apart by color: {"R", "Gr", "Gb", "B"}, each (H/2, W/2), or {"Y": (H, W)}; views."""
        return {name: self.values[where] for name, where in plane_slices(self.cfa).items()}

    def black_of(self, plane: str) -> float | None:
        """Black level of a plane in DN, by its name in `planes`."""
        return None if self.black is None else self.black[_place(self.cfa, plane)]


def _check_values(values: object) -> None:
    """Raise unless these can be a frame's values."""
    if not isinstance(values, np.ndarray):
        raise TypeError(f"values must be a numpy array; found {type(values).__name__}")
    if values.dtype not in (np.float32, np.uint16):
        raise TypeError(f"values must be float32 or uint16 digital numbers; found {values.dtype}")
    if values.ndim != 2 or not values.size:
        raise ValueError(f"values must have shape (H, W), neither 0; found {values.shape}")
    bad = 0 if values.dtype == np.uint16 else int(values.size - np.isfinite(values).sum())
    if bad:
        raise ValueError(f"values must be finite; found {bad} NaN or infinite of {values.size}")


def plane_slices(cfa: str | None) -> dict[str, tuple[slice, slice]]:
    """Where each plane's samples lie in a frame: rows and columns, as slices with a step."""
    if cfa is None:
        return {"Y": (slice(None), slice(None))}
    names = _names(cfa)
    return {names[i]: (slice(i // 2, None, 2), slice(i % 2, None, 2)) for i in range(4)}


def _names(cfa: str) -> list[str]:
    """Names of the four places: the green next to red is Gr, the one next to blue Gb."""
    return [c if c != "G" else "Gr" if "R" in cfa[i // 2 * 2 : i // 2 * 2 + 2] else "Gb" for i, c in enumerate(cfa)]


def _place(cfa: str | None, plane: str) -> int:
    return 0 if cfa is None else _names(cfa).index(plane)
