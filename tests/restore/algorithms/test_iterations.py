"""One iteration of each algorithm: its formula, how it treats color, and its gradients."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from dirtypixels.restore.algorithms import ADMM, ALGORITHMS, FISTA, HQS, ISTA, ChambollePock, PriorGradient
from dirtypixels.restore.filters import analyze, dct_filters, gradient_filters, power_spectrum, synthesize
from dirtypixels.restore.prox import PointwiseCNN, SoftThreshold
from dirtypixels.restore.terms import Gaussian, Majorized
from tests.restore.iterating import advance, blurred, random

EVERY = pytest.mark.parametrize("name", ALGORITHMS)
SIZE = (7, 6)


class TestFormulas:
    """The first iterations, written out with filters and transforms."""

    term, bank = blurred(1, 1), 0.5 * random(3, 1, 3, 3, seed=1)
    prox = SoftThreshold(0.3)
    norm = float(power_spectrum(0.5 * random(3, 1, 3, 3, seed=1), SIZE).max())

    def test_admm(self) -> None:
        step, x = ADMM(self.prox, self.bank, 0.7), self.term.y
        first = advance(HQS(self.prox, self.bank, 0.7), self.term, 1)
        torch.testing.assert_close(advance(step, self.term, 1), first, rtol=0, atol=1e-12)
        beta = torch.tensor(0.7).log().exp()
        power, scaled = power_spectrum(self.bank, SIZE), torch.zeros(1, 3, *SIZE, dtype=torch.float64)
        for _ in range(3):
            z = self.prox(analyze(x, self.bank) + scaled, beta)
            pulled = torch.fft.rfft2(synthesize(z - scaled, self.bank))
            x = self.term.image((self.term.data + beta * pulled) / (self.term.gram + beta * power))
            scaled = scaled + analyze(x, self.bank) - z
        torch.testing.assert_close(advance(step, self.term), x, rtol=0, atol=1e-10)

    @pytest.mark.parametrize("inner", [1, 3])
    @pytest.mark.parametrize("accelerated", [False, True])
    def test_proximal_gradient(self, inner: int, accelerated: bool) -> None:
        step = (FISTA if accelerated else ISTA)(self.prox, self.bank, inner=inner).double()
        x = ahead = self.term.y
        time = 1 / self.term.lipschitz
        dual, pace = torch.zeros(1, 3, *SIZE, dtype=torch.float64), 1.0
        sigma = 1 / (self.norm * time)
        for _ in range(3):
            down = ahead - time * self.term.gradient(ahead)
            for _ in range(inner):
                # A step on the dual of the prox, then onto the domain of the l1 norm's conjugate.
                dual = dual + sigma * analyze(down - time * synthesize(dual, self.bank), self.bank)
                dual = dual.clamp(-0.3, 0.3)
            new = down - time * synthesize(dual, self.bank)
            faster = 0.5 + (0.25 + pace**2) ** 0.5
            ahead = new + (pace - 1) / faster * (new - x) if accelerated else new
            x, pace = new, faster
        torch.testing.assert_close(advance(step, self.term), x, rtol=0, atol=1e-10)

    def test_chambolle_pock(self) -> None:
        step = ChambollePock(self.prox, self.bank, 0.7).double()
        x = ahead = self.term.y
        sigma = 0.7
        time, dual = 1 / (sigma * self.norm), torch.zeros(1, 3, *SIZE, dtype=torch.float64)
        for _ in range(3):
            dual = (dual + sigma * analyze(ahead, self.bank)).clamp(-0.3, 0.3)
            down = torch.fft.rfft2(x - time * synthesize(dual, self.bank))
            new = self.term.image((time * self.term.data + down) / (time * self.term.gram + 1))
            x, ahead = new, 2 * new - x
        torch.testing.assert_close(advance(step, self.term), x, rtol=0, atol=1e-6)  # 0.7 in single precision

    def test_prior_gradient(self) -> None:
        step, x = PriorGradient(self.prox, self.bank, 0.7).double(), self.term.y
        time = 1 / (0.7 * self.norm)
        for _ in range(3):
            v = analyze(x, self.bank)
            slope = 0.7 * v.clamp(-0.3 / 0.7, 0.3 / 0.7)
            down = torch.fft.rfft2(x - time * synthesize(slope, self.bank))
            x = self.term.image((time * self.term.data + down) / (time * self.term.gram + 1))
        torch.testing.assert_close(advance(step, self.term), x, rtol=0, atol=1e-6)

    def test_prior_gradient_reaches_the_minimum_of_half_quadratic_splitting(self) -> None:
        found = [advance(kind(self.prox, self.bank, 0.5), self.term, 300) for kind in (HQS, PriorGradient)]
        torch.testing.assert_close(*found, rtol=0, atol=1e-8)


def test_restart_forgets_momentum_that_points_uphill() -> None:
    term, x = Gaussian(random(2, 1, *SIZE)), random(2, 1, *SIZE, seed=1)
    for restart in (False, True):
        step = FISTA(SoftThreshold(0.1), gradient_filters().double(), restart=restart)
        state = step.start(x)._replace(t=torch.full((2, 1, 1, 1), 9.0).double())
        # The point ahead of the first image overshot, that of the second did not.
        ahead = torch.cat([term.y[:1] - (x[:1] - term.y[:1]), x[1:]])
        t = step(state._replace(ahead=ahead), term).t.flatten()
        kept = 0.5 + (0.25 + 81) ** 0.5
        first = 0.5 + 1.25**0.5 if restart else kept
        torch.testing.assert_close(t, torch.tensor([first, kept]).double())


@EVERY
def test_each_image_of_a_batch_has_its_own_weights(name: Any) -> None:
    torch.manual_seed(0)
    step = ALGORITHMS[name](PointwiseCNN(8, 4, features=2), dct_filters(3), features=2).double()
    with torch.no_grad():
        for parameter in step.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, dtype=torch.float64))
    term, context = Gaussian(random(2, 3, *SIZE)), random(2, 1, 2, seed=1)
    together = advance(step, term, 2, context)
    for b in range(2):
        alone = advance(step, Gaussian(term.y[b : b + 1]), 2, context[b : b + 1])
        torch.testing.assert_close(together[b : b + 1], alone, rtol=0, atol=1e-10)
    other = advance(step, term, 2, context.flip(0))
    assert bool(((together - other).abs().amax((1, 2, 3)) > 1e-3).all())
    with pytest.raises(ValueError, match="context must be given to a layer with features; found none"):
        advance(step, term, 1)


@EVERY
def test_majorized_weights_decrease_the_objective(name: Any) -> None:
    bank, prox = gradient_filters().double(), SoftThreshold(0.1)
    term = Majorized(random(1, 1, *SIZE), 0.1 + random(1, 1, *SIZE, seed=1).square())
    step = ALGORITHMS[name](prox, bank, beta=5.0)

    def objective(x: Tensor) -> float:
        return (term.value(x) + 0.1 * analyze(x, bank).abs().sum()).item()

    assert objective(advance(step, term, 60)) < objective(advance(step, term, 5)) < objective(term.y)


def test_raises_for_arguments_that_do_not_fit() -> None:
    bank = dct_filters(3)
    for arguments, message in (
        ({"filters": bank[..., 0]}, "filters must have shape (K, 1, 3, 3); found (8, 1, 3)"),
        ({"filters": torch.zeros(2, 1, 4, 4)}, "filters must have an odd size; found 4"),
        ({"beta": 0.0}, "beta must be above 0; found 0"),
        ({"color": "lab"}, "color must be one of 'shared', 'own', 'merged', 'opponent', 'coupled'; found 'lab'"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            HQS(**{"prox": SoftThreshold(), "filters": bank, **arguments})  # type: ignore[arg-type]
    for kind in (ISTA, FISTA):
        with pytest.raises(ValueError, match="inner must be at least 1; found 0"):
            kind(SoftThreshold(), bank, inner=0)
    for prox, color in (([SoftThreshold()], "merged"), (SoftThreshold(), "own"), ([], "own"), (None, "shared")):
        with pytest.raises(TypeError, match="prox must be"):
            HQS(prox, bank, color=color)  # type: ignore[arg-type]
    own = HQS([SoftThreshold()] * 2, bank, color="own")
    with pytest.raises(ValueError, match="x must have 2 channels, each with its own prox; found 3"):
        advance(own, blurred())
