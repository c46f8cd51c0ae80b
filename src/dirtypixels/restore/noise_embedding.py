"""What a conditioned solver is told about the noise."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEAST_LEVEL = 1e-6


class NoiseEmbedding(nn.Module):
    """Features of a noise level: a small network on log10 alpha and log10 sigma.

    Args:
        features: F, >= 1.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(2, 2 * features), nn.Tanh(), nn.Linear(2 * features, features), nn.Tanh()
        )

    def forward(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """(B, 1|C, 1, 1) each, to (B, 1|C, F). Levels below 1e-6 count as 1e-6."""
        both = torch.stack([level + torch.zeros_like(alpha + sigma) for level in (alpha, sigma)], -1).flatten(2)
        found: Tensor = self.network(2 + both.clamp_min(_LEAST_LEVEL).log10())
        return found
