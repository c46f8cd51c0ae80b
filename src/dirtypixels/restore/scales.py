"""Solvers on several scales, coarse to fine: what filters without a constant leave to the data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from dirtypixels import checks
from dirtypixels.restore.border import make_periodic
from dirtypixels.restore.terms import DataTerm, Gaussian
from dirtypixels.restore.unrolled import Noise, Unrolled

__all__ = ["CoarseToFine", "double", "halve"]

# Daubechies' scaling filter with four vanishing moments that is nearest to symmetric (sym4).
_SCALING = (
    0.0322231006040427, -0.012603967262037833, -0.09921954357684722, 0.29785779560527736,
    0.8037387518059161, 0.49761866763201545, -0.02963552764599851, -0.07576571478927333,
)  # fmt: skip


def halve(x: Tensor) -> Tensor:
    """The low-pass band of an orthonormal wavelet, of a circular image: (B, C, H, W) to (B, C, H / 2, W / 2).

    White noise keeps its standard deviation in it, and a constant image doubles its value.

    Args:
        x: H and W even, at least 6.

    Raises:
        ValueError: H or W is odd or below 6.

    Source: Daubechies 1992, ch. 8 (symlets).

    Example:
        >>> import torch
        >>> from dirtypixels.restore import scales
        >>> scales.halve(torch.ones(1, 1, 16, 16)).mean()
        tensor(2.)
    """
    batch, channels, height, width = x.shape
    reach = len(_SCALING) - 2
    if height % 2 or width % 2 or min(height, width) < reach:
        raise ValueError(f"x must be even and at least {reach} high and wide; found {height} x {width}")
    padded = torch.nn.functional.pad(x.reshape(batch * channels, 1, height, width), (0, reach) * 2, mode="circular")
    return torch.nn.functional.conv2d(padded, _kernel(x.dtype, x.device), stride=2).reshape(
        batch, channels, height // 2, width // 2
    )


def double(x: Tensor) -> Tensor:
    """Adjoint of `halve`, and its inverse on what it gives: ``halve(double(x)) = x``.

    Example:
        >>> import torch
        >>> from dirtypixels.restore import scales
        >>> scales.double(torch.ones(1, 1, 8, 8)).mean()
        tensor(0.5000)
    """
    batch, channels, height, width = x.shape
    out = torch.nn.functional.conv_transpose2d(
        x.reshape(batch * channels, 1, height, width), _kernel(x.dtype, x.device), stride=2
    )
    for dim, size in ((-2, 2 * height), (-1, 2 * width)):
        inside, beyond = out.narrow(dim, 0, size), out.narrow(dim, size, out.shape[dim] - size)
        place = torch.arange(beyond.shape[dim], device=x.device) % size
        out = inside.index_add(dim, place, beyond)
    return out.reshape(batch, channels, 2 * height, 2 * width)


@lru_cache(maxsize=16)
def _kernel(dtype: torch.dtype, device: torch.device) -> Tensor:
    """(1, 1, k, k); kept, so that no call copies it to a device anew."""
    with torch.inference_mode(False):
        scaling = torch.tensor(_SCALING, dtype=dtype, device=device)
        return torch.outer(scaling, scaling)[None, None]


class CoarseToFine(nn.Module):
    """One solver for each scale: the coarse ones restore the low frequencies before the fine ones see the image.

    ``r_s(y) = solver_s(y + D^T (r_(s+1)(D y) - D y))``, at the coarsest ``r(y) = solver(y)``

    D is `halve`. White noise is white and as strong on every scale, so that each solver has the same task. Filters
    without a constant leave low frequencies, and their noise, to the data; on a coarser scale they are not low. Each
    further scale costs a quarter of the one before.

    Args:
        solvers: fine to coarse, 1 or more.

    Raises:
        ValueError: there is no solver; y is not (B, C, H, W); or y is a data term, whose noise is not white.

    Source: Mallat 1989 (multiresolution); the scheme is ours.

    Example:
        >>> import torch
        >>> from dirtypixels.restore import CoarseToFine, UnrolledHQS
        >>> solver = CoarseToFine([UnrolledHQS(color="opponent"), UnrolledHQS(color="opponent")])
        >>> solver(torch.randn(1, 3, 31, 32)).shape
        torch.Size([1, 3, 31, 32])
    """

    def __init__(self, solvers: Sequence[Unrolled]) -> None:
        super().__init__()
        checks.in_range("number of solvers", len(solvers), low=1)
        self.solvers = nn.ModuleList(solvers)
        # On the coarsest scale it is as wide as its solver asks for.
        self.gap = max(solver.gap * 2**scale for scale, solver in enumerate(solvers))

    def forward(self, y: Tensor | DataTerm, noise: Noise | None = None) -> Tensor:
        """Restore an image with noise of one variance.

        Args:
            y: (B, C, H, W).
            noise: as for `Unrolled`.

        Returns:
            (B, C, H, W).
        """
        if isinstance(y, DataTerm):
            raise ValueError(
                f"y must be an image with a sample at every pixel for several scales; found the data term "
                f"{type(y).__name__} (missing samples and blur take one scale)"
            )
        checks.is_tensor("y", y)
        checks.has_shape("y", y, ("B", "C", "H", "W"))
        height, width = y.shape[-2:]
        whole = 2 ** (len(self.solvers) - 1)
        down, across = (self.gap + -(size + self.gap) % whole for size in (height, width))
        with torch.autocast(y.device.type, enabled=False):
            return self._restore(make_periodic(y, down, across), 0, noise)[..., :height, :width]

    def _restore(self, y: Tensor, scale: int, noise: Noise | None) -> Tensor:
        if scale + 1 < len(self.solvers):
            low = halve(y)
            y = y + double(self._restore(low, scale + 1, noise) - low)
        image: Tensor = self.solvers[scale](Gaussian(y), noise)
        return image
