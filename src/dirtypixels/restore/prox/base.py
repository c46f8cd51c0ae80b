"""What every proximal operator of this package is."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn


class Prox(nn.Module):
    """``prox(v) = argmin_z g(z) + penalty/2 |z - v|^2`` for one prior g.

    `forward` takes (B, K, ...) responses and the penalty, a positive tensor that is a scalar or (B, 1, ...), and
    returns the shape of v. Learned priors may also take a context, (B, F): what is known about each image, such as its
    noise; others need not have that argument.

    Example:
        >>> import torch
        >>> from dirtypixels.restore.prox import Prox
        >>> class Ridge(Prox):  # g(z) = |z|^2 / 2
        ...     def forward(self, v, penalty, context=None):
        ...         return v * penalty / (1 + penalty)
        >>> Ridge()(torch.tensor([[4.0]]), torch.tensor(3.0))
        tensor([[3.]])
    """

    #: whether z at a pixel depends on the responses at that pixel alone
    pointwise: ClassVar[bool] = True

    #: whether z is v and something added to it, which `change` gives; else `change` gives all of z
    skip: bool = True

    def forward(self, v: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define forward(v, penalty)")

    def change(self, analysis: Tensor, patches: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        """``analysis^T (prox(v) - v)`` for the responses ``v = analysis @ patches``; all of z without `skip`.

        Patches are (P, N L), those of N images one after another, analysis is (K, P), penalty a scalar or (N, 1, 1),
        context (N, F); gives (P, N L). For pointwise priors; subclasses may do the same with less arithmetic.
        """
        images = max(penalty.shape[0] if penalty.ndim else 1, 1 if context is None else len(context))
        v = (analysis @ patches).reshape(len(analysis), images, -1).transpose(0, 1)
        z = self(v, penalty) if context is None else self(v, penalty, context)
        change: Tensor = analysis.t() @ (z - v if self.skip else z).transpose(0, 1).flatten(1)
        return change


def check_context(context: Tensor | None, features: int) -> None:
    """Raise ValueError unless a context has as many features as a prior learned to use; none for 0."""
    found = 0 if context is None else context.shape[-1]
    if found != features:
        raise ValueError(f"context must have {features} features; found {found}")
