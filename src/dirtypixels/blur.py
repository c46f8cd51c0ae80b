"""Blur as a linear operator with its adjoint: one PSF for the image, or one that changes over the field."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from dirtypixels import checks
from dirtypixels.observation import check_psf

__all__ = ["Blur", "Border", "FieldBlur", "mirror_index", "transfer_function"]

Border = Literal["circular", "mirror", "crop"]


def transfer_function(psf: Tensor, size: tuple[int, int]) -> Tensor:
    """Real Fourier transform of a PSF whose center stands at the origin of a circular image.

    Args:
        psf: (..., kh, kw), odd sizes.
        size: height and width of the image; a larger PSF wraps around.

    Returns:
        (..., H, W // 2 + 1), complex.

    Example:
        >>> import torch
        >>> from dirtypixels.blur import transfer_function
        >>> transfer_function(torch.full((1, 1, 3, 3), 1 / 9), (4, 6)).real[0, 0, 0]
        tensor([ 1.0000,  0.6667,  0.0000, -0.3333])
    """
    height, width = psf.shape[-2:]
    full = psf
    for dim, kernel, length in ((-2, height, size[0]), (-1, width, size[1])):
        at = (torch.arange(kernel, device=psf.device) - kernel // 2) % length
        shape = list(full.shape)
        shape[dim] = length
        full = torch.zeros(shape, dtype=psf.dtype, device=psf.device).index_add(dim, at, full)
    found: Tensor = torch.fft.rfft2(full)
    return found


class Blur:
    """Convolution with a PSF.

    ``y[p] = sum_q psf[q] x[p - q]``, q counted from the PSF's center

    Args:
        psf: (1|B, 1|C, kh, kw), odd sizes, >= 0, summing to 1.
        border: what x is beyond its border. "circular" repeats it; "mirror" reflects it at its edge (the edge pixel
            twice); "crop" asks for nothing beyond, and y is the part of the frame that x determines, smaller by
            kh - 1 and kw - 1.

    Raises:
        TypeError: psf is not a floating-point tensor.
        ValueError: psf has another shape, is negative, not finite or does not sum to 1; the border is unknown.

    Example:
        >>> import torch
        >>> from dirtypixels.blur import Blur
        >>> blur = Blur(torch.tensor([0.25, 0.5, 0.25]).view(1, 1, 1, 3))
        >>> blur.forward(torch.tensor([0.0, 0.0, 1.0, 0.0]).view(1, 1, 1, 4)).flatten()
        tensor([0.0000, 0.2500, 0.5000, 0.2500])
    """

    def __init__(self, psf: Tensor, border: Border = "mirror") -> None:
        checks.one_of("border", border, get_args(Border))
        checks.is_tensor("psf", psf)
        checks.has_shape("psf", psf, ("B", "C", "kh", "kw"))
        check_psf(psf, *psf.shape[:2])
        self.psf, self.border = psf, border

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, or to (B, C, H - kh + 1, W - kw + 1) for the border "crop".

        Raises:
            ValueError: x does not fit the PSF's batch and channels, or is smaller than the PSF where it is cropped.
        """
        self._check("x", x)
        if self.border == "circular":
            return self._circular(x, adjoint=False)
        top, left = self._half
        if self.border == "mirror":
            x = _mirrored(x, top, left)
        height, width = x.shape[-2:]
        if min(height - 2 * top, width - 2 * left) < 1:
            raise ValueError(f"x must be at least {2 * top + 1} x {2 * left + 1} pixels; found {height} x {width}")
        return self._circular(x, adjoint=False)[..., top : height - top, left : width - left]

    def adjoint(self, y: Tensor) -> Tensor:
        """The transpose of `forward`: ``<forward(x), y> = <x, adjoint(y)>``.

        Raises:
            ValueError: y does not fit the PSF's batch and channels.
        """
        self._check("y", y)
        if self.border == "circular":
            return self._circular(y, adjoint=True)
        top, left = self._half
        x = self._circular(torch.nn.functional.pad(y, (left, left, top, top)), adjoint=True)
        if self.border == "mirror":
            x = _folded(x, top, left)
        return x

    @property
    def _half(self) -> tuple[int, int]:
        return self.psf.shape[-2] // 2, self.psf.shape[-1] // 2

    def _circular(self, x: Tensor, adjoint: bool) -> Tensor:
        size = (x.shape[-2], x.shape[-1])
        otf = transfer_function(self.psf, size)
        found: Tensor = torch.fft.irfft2(torch.fft.rfft2(x) * (otf.conj() if adjoint else otf), s=size)
        return found

    def _check(self, name: str, x: Tensor) -> None:
        checks.is_tensor(name, x)
        batch, channels = self.psf.shape[:2]
        checks.has_shape(name, x, ("B" if batch == 1 else batch, "C" if channels == 1 else channels, "H", "W"))


class FieldBlur:
    """Blur by PSFs that change over the field.

    ``y = sum_n w_n (psf_n * x)``: every pixel sees the scene through the PSF at its own place, interpolated bilinearly
    between the nodes of the field (w_n is the weight of node n), so that no seam shows and an even scene stays even.

    Args:
        psfs: (rows, columns, 1|C, kh, kw) at nodes spread evenly over the frame, corners included; odd sizes, >= 0,
            each summing to 1; at least 2 rows and 2 columns.
        border: "mirror" or "crop", see `Blur`.

    Raises:
        TypeError: psfs is not a floating-point tensor.
        ValueError: psfs have another shape or no valid PSF; the border is unknown.

    Example:
        >>> import torch
        >>> from dirtypixels import Camera
        >>> from dirtypixels.blur import FieldBlur
        >>> lens = FieldBlur(Camera.load("nexus-6p-rear").optics.psfs[::5, ::5], border="crop")
        >>> lens.forward(torch.full((1, 3, 48, 64), 0.5)).shape
        torch.Size([1, 3, 12, 28])
    """

    def __init__(self, psfs: Tensor, border: Literal["mirror", "crop"] = "mirror") -> None:
        checks.one_of("border", border, ("mirror", "crop"))
        checks.is_tensor("psfs", psfs)
        checks.has_shape("psfs", psfs, ("rows", "columns", "C", "kh", "kw"))
        rows, columns, channels = psfs.shape[:3]
        if min(rows, columns) < 2:
            raise ValueError(f"psfs must have at least 2 rows and 2 columns; found {rows} x {columns}")
        check_psf(psfs.flatten(0, 1), rows * columns, channels)
        self.psfs, self.border = psfs, border

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, or to (B, C, H - kh + 1, W - kw + 1) for the border "crop".

        Raises:
            ValueError: x does not fit the PSFs' channels, or is smaller than they are where it is cropped.
        """
        top, left = self._half
        self._check("x", x)
        frame = [x.shape[-2], x.shape[-1]]
        if self.border == "crop":
            frame = [frame[0] - 2 * top, frame[1] - 2 * left]
            if min(frame) < 1:
                raise ValueError(
                    f"x must be at least {2 * top + 1} x {2 * left + 1} pixels; found {x.shape[-2]} x {x.shape[-1]}"
                )
        else:
            x = _mirrored(x, top, left)
        y = x.new_zeros(*x.shape[:2], *frame)
        for psf, weight, rows, columns in self._tiles(frame, x):
            part = x[..., rows.start : rows.stop + 2 * top, columns.start : columns.stop + 2 * left]
            seen = Blur(psf, "crop").forward(part)
            y[..., rows, columns] += weight * seen
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        """The transpose of `forward`.

        Raises:
            ValueError: y does not fit the PSFs' channels.
        """
        top, left = self._half
        self._check("y", y)
        height, width = y.shape[-2:]
        x = y.new_zeros(*y.shape[:2], height + 2 * top, width + 2 * left)
        for psf, weight, rows, columns in self._tiles([height, width], y):
            back = Blur(psf, "crop").adjoint(weight * y[..., rows, columns])
            x[..., rows.start : rows.stop + 2 * top, columns.start : columns.stop + 2 * left] += back
        if self.border == "mirror":
            x = _folded(x, top, left)
        return x

    @property
    def _half(self) -> tuple[int, int]:
        return self.psfs.shape[-2] // 2, self.psfs.shape[-1] // 2

    def _check(self, name: str, x: Tensor) -> None:
        checks.is_tensor(name, x)
        channels = self.psfs.shape[2]
        checks.has_shape(name, x, ("B", "C" if channels == 1 else channels, "H", "W"))

    def _tiles(self, frame: list[int], like: Tensor) -> list[tuple[Tensor, Tensor, slice, slice]]:
        """For each node: its PSF (1, C, kh, kw), its weights (h, w), and where in the frame they are not 0."""
        rows, columns = self.psfs.shape[:2]
        down = _hat_weights(rows, frame[0], like)
        across = _hat_weights(columns, frame[1], like)
        tiles = []
        for i in range(rows):
            for j in range(columns):
                vertical, horizontal = _support(down[i]), _support(across[j])
                if vertical is None or horizontal is None:
                    continue
                weight = down[i, vertical][:, None] * across[j, horizontal]
                tiles.append((self.psfs[i, j][None], weight, vertical, horizontal))
        return tiles


def _mirrored(x: Tensor, top: int, left: int) -> Tensor:
    """An image continued by `top` mirrored rows above and below and `left` columns on both sides."""
    for dim, half in ((-2, top), (-1, left)):
        x = x.index_select(dim, _reach(x.shape[dim], half, x.device))
    return x


def _folded(x: Tensor, top: int, left: int) -> Tensor:
    """The adjoint of `_mirrored`: the continuation added to the pixels that it mirrors."""
    for dim, half in ((-2, top), (-1, left)):
        shape = list(x.shape)
        shape[dim] -= 2 * half
        x = x.new_zeros(shape).index_add(dim, _reach(shape[dim], half, x.device), x)
    return x


def _reach(size: int, half: int, device: torch.device) -> Tensor:
    """Indices of a line of `size` pixels, continued by `half` mirrored pixels on both sides."""
    return mirror_index(torch.arange(-half, size + half, device=device), size)


def mirror_index(index: Tensor, size: int) -> Tensor:
    """Half-sample symmetric continuation of 0 .. size - 1.

    Example:
        >>> import torch
        >>> from dirtypixels.blur import mirror_index
        >>> mirror_index(torch.arange(-2, 5), 3)
        tensor([1, 0, 0, 1, 2, 2, 1])
    """
    folded = index.remainder(2 * size)
    return torch.minimum(folded, 2 * size - 1 - folded)


def _hat_weights(nodes: int, size: int, like: Tensor) -> Tensor:
    """Linear interpolation's weight of each node at each pixel's center, (nodes, size)."""
    pixel = torch.arange(size, dtype=like.dtype, device=like.device)
    at = (pixel + 0.5) / size * (nodes - 1)
    return (1 - (at - torch.arange(nodes, dtype=like.dtype, device=like.device)[:, None]).abs()).clamp_min(0)


def _support(weights: Tensor) -> slice | None:
    found = weights.nonzero()
    return slice(int(found[0]), int(found[-1]) + 1) if len(found) else None
