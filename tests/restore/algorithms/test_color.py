"""How the channels of an image share a prior, for every algorithm."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from dirtypixels.restore.algorithms import ALGORITHMS, ColorPrior
from dirtypixels.restore.filters import dct_filters
from dirtypixels.restore.prox import IsotropicTV, Prox, SoftThreshold
from dirtypixels.restore.terms import Gaussian
from tests.restore.iterating import advance, blurred, random

EVERY = pytest.mark.parametrize("name", ALGORITHMS)
SIZE = (7, 6)


class Whole(SoftThreshold):
    """The same prox for those who must not take it pixel by pixel."""

    pointwise: ClassVar[bool] = False

    def change(self, *arguments: Any, **known: Any) -> Tensor:
        raise AssertionError("change is for pointwise priors")


class TestColor:
    bank = dct_filters(3).double()

    @EVERY
    def test_shared_treats_channels_and_images_one_by_one(self, name: Any) -> None:
        term, step = blurred(), ALGORITHMS[name](IsotropicTV(0.2), self.bank)
        together = advance(step, term)
        for b in range(2):
            for c in range(3):
                weight = term.weight[b : b + 1] if term.weight is not None else None
                alone = advance(step, Gaussian(term.y[b : b + 1, c : c + 1], term.otf, weight))
                torch.testing.assert_close(together[b, c], alone[0, 0], rtol=0, atol=1e-10)

    @EVERY
    def test_own_has_its_own_filters_and_prox_for_each_channel(self, name: Any) -> None:
        term, banks = blurred(), 0.3 * random(3, 8, 1, 3, 3, seed=4)
        proxes = [IsotropicTV(0.1 * (c + 1)) for c in range(3)]
        step = ALGORITHMS[name](proxes, self.bank, color="own").double()
        assert step.filters.shape == (3, 8, 1, 3, 3)
        step.filters.data = banks
        together = advance(step, term)
        for c in range(3):
            alone = ALGORITHMS[name](proxes[c], banks[c]).double()
            expected = advance(alone, Gaussian(term.y[:, c : c + 1], term.otf, term.weight))
            torch.testing.assert_close(together[:, c : c + 1], expected, rtol=0, atol=1e-10)

    @EVERY
    def test_merged_of_one_channel_is_shared(self, name: Any) -> None:
        term = blurred(2, 1)
        shared, merged = (
            advance(ALGORITHMS[name](SoftThreshold(0.2), self.bank, color=c), term) for c in ("shared", "merged")
        )
        torch.testing.assert_close(merged, shared, rtol=0, atol=1e-12)

    def test_merged_is_the_prox_of_what_it_says(self) -> None:
        """``g(sum v_c) / C`` where all v_c are equal: minimized over their common value by brute force."""
        prior, v, penalty = ColorPrior(SoftThreshold(0.4), "merged"), random(1, 6, 1, 1, seed=2), torch.tensor(1.7)
        z = prior(v.double(), penalty, 3)
        grid = torch.linspace(-3, 3, 600_001).double()
        for k in range(2):
            objective = 0.4 * (3 * grid).abs() / 3
            for c in range(3):
                objective = objective + 0.5 * 1.7 * (grid - v[0, 2 * c + k, 0, 0]) ** 2
            for c in range(3):
                assert float(z[0, 2 * c + k, 0, 0]) == pytest.approx(float(grid[objective.argmin()]), abs=1e-5)

    @pytest.mark.parametrize("color", ["shared", "own", "merged"])
    def test_analysis_and_synthesis_are_adjoint(self, color: Any) -> None:
        own = color == "own"
        prior = ColorPrior([SoftThreshold()] * 3 if own else SoftThreshold(), color)
        bank = random(3, 4, 1, 3, 3) if own else random(4, 1, 3, 3)
        x, u = random(2, 3, *SIZE, seed=1), random(2, 12, *SIZE, seed=2)
        inner = (prior.analyze(x, bank) * u).sum(), (x * prior.synthesize(u, bank)).sum()
        torch.testing.assert_close(*inner, rtol=1e-10, atol=1e-10)
        normal = prior.synthesize(prior.analyze(x, bank), bank)
        expected = torch.fft.irfft2(prior.power(bank, SIZE) * torch.fft.rfft2(x), s=SIZE)
        torch.testing.assert_close(normal, expected, rtol=1e-10, atol=1e-10)

    @EVERY
    @pytest.mark.parametrize("color", ["shared", "own", "merged"])
    def test_a_prior_that_is_not_pointwise_gets_whole_images(self, name: Any, color: Any) -> None:
        def made(kind: type[Prox]) -> Any:
            return [kind(0.2) for _ in range(3)] if color == "own" else kind(0.2)  # type: ignore[call-arg]

        whole, pointwise = (
            advance(ALGORITHMS[name](made(kind), self.bank, color=color), blurred()) for kind in (Whole, SoftThreshold)
        )
        torch.testing.assert_close(whole, pointwise, rtol=0, atol=1e-10)
