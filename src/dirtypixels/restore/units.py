"""Low-level units: an Observation in, an image out."""

from __future__ import annotations

from torch import Tensor, nn

from dirtypixels.observation import Observation
from dirtypixels.restore import anscombe
from dirtypixels.restore.unrolled import UnrolledHQS


class Denoiser(nn.Module):
    """Variance stabilisation, unrolled half-quadratic splitting, exact unbiased inverse.

    The colour channels are denoised one by one with the same weights. The inverse is the one for the clipped signal,
    so that the picture has neither the bias of the transform nor that of the sensor's black and white limits.

    Args:
        solver: restores noise of standard deviation 1; a new `UnrolledHQS()` if None.

    Source: Diamond et al. 2017, sec. 5.4; Mäkitalo and Foi 2013 (exact inverse).
    """

    def __init__(self, solver: UnrolledHQS | None = None) -> None:
        super().__init__()
        self.solver = UnrolledHQS() if solver is None else solver

    def forward(self, obs: Observation) -> Tensor:
        """(B, C, H, W), linear, same size as the signal; values just outside of [0, 1] are possible.

        Raises:
            TypeError: obs is not an Observation.
            ValueError: alpha and sigma of an image are both 0.
        """
        if not isinstance(obs, Observation):
            raise TypeError(f"obs must be an Observation; found {type(obs).__name__}")
        stabilised = anscombe.forward(obs.signal, obs.alpha, obs.sigma)
        return anscombe.inverse(self.solver(stabilised), obs.alpha, obs.sigma, clipped=True)
