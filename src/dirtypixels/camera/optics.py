"""A lens by its point spread functions over the field."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from dirtypixels import checks
from dirtypixels.observation import check_psf

Position = str | tuple[float, float]

POSITIONS = {"center": (0.5, 0.5), "offaxis": (0.9, 0.9), "periphery": (1.0, 1.0)}
"""Named places on the sensor, (row, column): 0.5, 0.9 and 1.0 of the field."""

_KEPT = 32
"""Places without a name whose PSFs a field keeps, the last ones that were asked for."""


class PsfField:
    """PSFs on a grid over the sensor, interpolated between its nodes.

    Args:
        psfs: (rows, columns, 1|C, kh, kw) at nodes spread evenly over the frame, corners included; odd sizes, >= 0,
            each summing to 1; at least 2 rows and 2 columns. Node (0, 0) is the top left corner of the picture.
        source: where the PSFs come from, e.g. "simulated from a design ...".
        pitch_um: distance of the PSFs' samples on the sensor, micrometers, > 0; None where it is not known. No capture
            depends on it.

    Raises:
        TypeError: psfs is not a floating-point tensor.
        ValueError: a shape or value is out of range.

    >>> from dirtypixels.camera import gaussian_psf
    >>> blur = gaussian_psf(0.8).expand(3, 4, 1, 9, 9)
    >>> PsfField(blur, source="made up").at("periphery").shape
    torch.Size([1, 9, 9])
    """

    def __init__(self, psfs: Tensor, source: str, pitch_um: float | None = None) -> None:
        checks.is_tensor("psfs", psfs)
        checks.has_shape("psfs", psfs, ("rows", "columns", (1, 3), "kh", "kw"))
        rows, columns, channels = psfs.shape[:3]
        if min(rows, columns) < 2:
            raise ValueError(f"psfs must have at least 2 rows and 2 columns; found {rows} x {columns}")
        if pitch_um is not None and not 0 < pitch_um < math.inf:
            raise ValueError(f"pitch_um must be finite and above 0, or None; found {pitch_um:g}")
        check_psf(psfs.flatten(0, 1), rows * columns, channels)
        self.psfs, self.source, self.pitch_um = psfs, source, pitch_um
        self._found: dict[tuple[float, float], Tensor] = {}

    def at(self, position: Position) -> Tensor:
        """The PSF at a place on the sensor, (C, kh, kw), interpolated bilinearly between the four nodes around it.

        Raises:
            ValueError: position is neither a name in POSITIONS nor (row, column) in [0, 1]^2.
        """
        where = _place(position)
        # Kept, so that captures at one place share one tensor.
        found = self._found.pop(where, None)
        if found is None:
            # An ordinary tensor even if it is first asked for in inference mode: a later backward pass may need it.
            with torch.inference_mode(False), torch.no_grad():
                found = self._interpolated(*where)
        self._found[where] = found
        others = [place for place in self._found if place not in POSITIONS.values()]
        for oldest in others[:-_KEPT]:
            del self._found[oldest]
        return found

    def _interpolated(self, row: float, column: float) -> Tensor:
        rows, columns = self.psfs.shape[:2]
        i, u = _between(row, rows)
        j, v = _between(column, columns)
        around = self.psfs[i : i + 2, j : j + 2]
        weights = torch.tensor([[(1 - u) * (1 - v), (1 - u) * v], [u * (1 - v), u * v]]).to(around)
        return (around * weights[..., None, None, None]).sum((0, 1))

    @property
    def summary(self) -> str:
        """The first sentence of `source`, for places without room for all of it."""
        return self.source.split(". ")[0].rstrip(".")

    def __repr__(self) -> str:
        rows, columns, channels, height, width = self.psfs.shape
        pitch = "" if self.pitch_um is None else f" of {self.pitch_um:g} um"
        return f"PsfField({rows} x {columns} nodes, {channels} channels, {height} x {width} px{pitch})"


def read_psfs(content: bytes) -> Tensor:
    """The array `psf` of a `psf.npz`, float32, each PSF scaled to sum to 1 exactly (files hold rounded values).

    Where the file says that they are scaled (`Camera.save` does), they stay as they are to the last bit.

    Raises:
        ValueError: not a NumPy archive with such an array, or not (rows, columns, 1|3, kh, kw) of floats.
    """
    try:
        found = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise ValueError("found a single array (.npy), which np.savez makes an archive of")
        with found:
            values = found["psf"]
            scaled = "scaled" in found and bool(np.array_equal(found["scaled"], True))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"psf.npz must hold an array named 'psf'; {error}") from error
    if values.dtype.kind != "f":
        raise ValueError(f"psf.npz: psf must hold real floating-point numbers; found {values.dtype}")
    psfs = torch.from_numpy(values.astype(np.float32))
    checks.has_shape("psf.npz: psf", psfs, ("rows", "columns", (1, 3), "kh", "kw"))
    checks.in_range("psf.npz: psf", psfs, low=0.0)
    total = psfs.sum((-2, -1), keepdim=True)
    if bool(((total - 1).abs() > 0.01).any()):
        raise ValueError(
            f"psf.npz: psf must sum to 1; found sums from {float(total.min()):g} to {float(total.max()):g}"
        )
    return psfs if scaled and bool(((total - 1).abs() < 1e-4).all()) else psfs / total


def content_of(psfs: Tensor) -> bytes:
    """The shape of PSFs and every bit of them, to tell them from any others."""
    values = psfs.contiguous().numpy()
    return repr(values.shape).encode() + values.tobytes()


def digest_of(psfs: Tensor) -> str:
    """SHA-256 of PSFs as float32: a calibration's record belongs to these and no others."""
    return sha256(content_of(psfs.float())).hexdigest()


def seen_by(psfs: Tensor, channels: int) -> Tensor:
    """PSFs (..., C, kh, kw) for a scene of so many channels: a gray scene is seen in green."""
    return psfs[..., 1:2, :, :] if channels == 1 and psfs.shape[-3] == 3 else psfs


def _place(position: Position) -> tuple[float, float]:
    if isinstance(position, str):
        checks.one_of("position", position, tuple(POSITIONS))
        return POSITIONS[position]
    pair = tuple(float(p) for p in position)
    if len(pair) != 2 or not all(0 <= p <= 1 for p in pair):
        raise ValueError(f"position must be {', '.join(POSITIONS)} or (row, column) in [0, 1]^2; found {position!r}")
    return pair[0], pair[1]


def _between(at: float, nodes: int) -> tuple[int, float]:
    """The node before a place, and how far the place is on the way to the next."""
    first = min(int(at * (nodes - 1)), nodes - 2)
    return first, at * (nodes - 1) - first
