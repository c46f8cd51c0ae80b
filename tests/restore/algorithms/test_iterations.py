"""One iteration of each algorithm: its formula, how it treats colour, and its gradients."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from dirtypixels.blur import transfer_function
from dirtypixels.camera import gaussian_psf
from dirtypixels.restore.algorithms import ADMM, ALGORITHMS, FISTA, HQS, ISTA, ChambollePock, ColourPrior, PriorGradient
from dirtypixels.restore.filters import analyse, dct_filters, gradient_filters, power_spectrum, synthesise
from dirtypixels.restore.prox import IsotropicTV, PointwiseCNN, Prox, SoftThreshold
from dirtypixels.restore.terms import Gaussian, Majorised, Weighted

EVERY = pytest.mark.parametrize("name", ALGORITHMS)
SIZE = (7, 6)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blurred(batch: int = 2, channels: int = 3, size: tuple[int, int] = SIZE) -> Gaussian:
    otf = transfer_function(gaussian_psf(0.6)[None].double(), size)
    return Gaussian(random(batch, channels, *size), otf, torch.linspace(0.5, 2, batch).double().view(-1, 1, 1, 1))


class Smooth(Prox):
    """Smooth in all that it depends on, parameters included: ``z = v - a tanh(v + c) / penalty``."""

    def __init__(self, channels: int, features: int = 0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.linspace(0.1, 0.4, channels).double())
        self.shift = nn.Linear(features, channels, dtype=torch.float64) if features else None

    def forward(self, v: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        flat = v.flatten(2)
        at = flat if self.shift is None or context is None else flat + self.shift(context)[:, :, None]
        change = self.gain[:, None] * torch.tanh(at)
        return v - change.reshape(v.shape) / penalty


class Whole(SoftThreshold):
    """The same prox for those who must not take it pixel by pixel."""

    pointwise: ClassVar[bool] = False

    def change(self, *arguments: Any, **known: Any) -> Tensor:
        raise AssertionError("change is for pointwise priors")


def advance(step: Any, term: Any, times: int = 3, context: Tensor | None = None) -> Tensor:
    state = step.start(term.start())
    for _ in range(times):
        state = step(state, term, context)
    image: Tensor = state.x
    return image


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
            z = self.prox(analyse(x, self.bank) + scaled, beta)
            pulled = torch.fft.rfft2(synthesise(z - scaled, self.bank))
            x = self.term.image((self.term.data + beta * pulled) / (self.term.gram + beta * power))
            scaled = scaled + analyse(x, self.bank) - z
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
                dual = dual + sigma * analyse(down - time * synthesise(dual, self.bank), self.bank)
                dual = dual.clamp(-0.3, 0.3)
            new = down - time * synthesise(dual, self.bank)
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
            dual = (dual + sigma * analyse(ahead, self.bank)).clamp(-0.3, 0.3)
            down = torch.fft.rfft2(x - time * synthesise(dual, self.bank))
            new = self.term.image((time * self.term.data + down) / (time * self.term.gram + 1))
            x, ahead = new, 2 * new - x
        torch.testing.assert_close(advance(step, self.term), x, rtol=0, atol=1e-6)  # 0.7 in single precision

    def test_prior_gradient(self) -> None:
        step, x = PriorGradient(self.prox, self.bank, 0.7).double(), self.term.y
        time = 1 / (0.7 * self.norm)
        for _ in range(3):
            v = analyse(x, self.bank)
            slope = 0.7 * v.clamp(-0.3 / 0.7, 0.3 / 0.7)
            down = torch.fft.rfft2(x - time * synthesise(slope, self.bank))
            x = self.term.image((time * self.term.data + down) / (time * self.term.gram + 1))
        torch.testing.assert_close(advance(step, self.term), x, rtol=0, atol=1e-6)

    def test_prior_gradient_reaches_the_minimum_of_half_quadratic_splitting(self) -> None:
        found = [advance(kind(self.prox, self.bank, 0.5), self.term, 200) for kind in (HQS, PriorGradient)]
        torch.testing.assert_close(*found, rtol=0, atol=1e-9)


def test_restart_forgets_momentum_that_points_uphill() -> None:
    term, x = Gaussian(random(2, 1, *SIZE)), random(2, 1, *SIZE, seed=1)
    for restart in (False, True):
        step = FISTA(SoftThreshold(0.1), gradient_filters().double(), restart=restart)
        state = step.start(x)._replace(pace=torch.full((2, 1, 1, 1), 9.0).double())
        # The point ahead of the first image overshot, that of the second did not.
        ahead = torch.cat([term.y[:1] - (x[:1] - term.y[:1]), x[1:]])
        pace = step(state._replace(ahead=ahead), term).pace.flatten()
        kept = 0.5 + (0.25 + 81) ** 0.5
        first = 0.5 + 1.25**0.5 if restart else kept
        torch.testing.assert_close(pace, torch.tensor([first, kept]).double())


class TestColour:
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
        step = ALGORITHMS[name](proxes, self.bank, colour="own").double()
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
            advance(ALGORITHMS[name](SoftThreshold(0.2), self.bank, colour=c), term) for c in ("shared", "merged")
        )
        torch.testing.assert_close(merged, shared, rtol=0, atol=1e-12)

    def test_merged_is_the_prox_of_what_it_says(self) -> None:
        """``g(sum v_c) / C`` where all v_c are equal: minimised over their common value by brute force."""
        prior, v, penalty = ColourPrior(SoftThreshold(0.4), "merged"), random(1, 6, 1, 1, seed=2), torch.tensor(1.7)
        z = prior(v.double(), penalty, 3)
        grid = torch.linspace(-3, 3, 600_001).double()
        for k in range(2):
            objective = 0.4 * (3 * grid).abs() / 3
            for c in range(3):
                objective = objective + 0.5 * 1.7 * (grid - v[0, 2 * c + k, 0, 0]) ** 2
            for c in range(3):
                assert float(z[0, 2 * c + k, 0, 0]) == pytest.approx(float(grid[objective.argmin()]), abs=1e-5)

    @pytest.mark.parametrize("colour", ["shared", "own", "merged"])
    def test_analysis_and_synthesis_are_adjoint(self, colour: Any) -> None:
        own = colour == "own"
        prior = ColourPrior([SoftThreshold()] * 3 if own else SoftThreshold(), colour)
        bank = random(3, 4, 1, 3, 3) if own else random(4, 1, 3, 3)
        x, u = random(2, 3, *SIZE, seed=1), random(2, 12, *SIZE, seed=2)
        inner = (prior.analyse(x, bank) * u).sum(), (x * prior.synthesise(u, bank)).sum()
        torch.testing.assert_close(*inner, rtol=1e-10, atol=1e-10)
        normal = prior.synthesise(prior.analyse(x, bank), bank)
        expected = torch.fft.irfft2(prior.power(bank, SIZE) * torch.fft.rfft2(x), s=SIZE)
        torch.testing.assert_close(normal, expected, rtol=1e-10, atol=1e-10)

    @EVERY
    @pytest.mark.parametrize("colour", ["shared", "own", "merged"])
    def test_a_prior_that_is_not_pointwise_gets_whole_images(self, name: Any, colour: Any) -> None:
        def made(kind: type[Prox]) -> Any:
            return [kind(0.2) for _ in range(3)] if colour == "own" else kind(0.2)  # type: ignore[call-arg]

        whole, pointwise = (
            advance(ALGORITHMS[name](made(kind), self.bank, colour=colour), blurred())
            for kind in (Whole, SoftThreshold)
        )
        torch.testing.assert_close(whole, pointwise, rtol=0, atol=1e-10)


@EVERY
@pytest.mark.parametrize(
    ("colour", "features"), [("shared", 0), ("shared", 2), ("own", 2), ("merged", 0), ("merged", 2)]
)
def test_gradcheck(name: Any, colour: Any, features: int) -> None:
    """Two iterations with the same weights, for y, the context and all parameters."""
    torch.manual_seed(0)
    own = colour == "own"
    proxes = [Smooth(2, features) for _ in range(2 if own else 1)]
    step = ALGORITHMS[name](
        proxes if own else proxes[0], random(2, 1, 3, 3), beta=2.0, colour=colour, features=features
    ).double()
    with torch.no_grad():
        for parameter in step.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, dtype=torch.float64))
    names, values = zip(*step.named_parameters(), strict=True)
    otf = transfer_function(gaussian_psf(0.6)[None].double(), (4, 3))

    def run(y: Tensor, context: Tensor, *parameters: Tensor) -> Tensor:
        term, state = Gaussian(y, otf), dict(zip(names, parameters, strict=True))
        now = step.start(y)
        for _ in range(2):
            now = torch.func.functional_call(step, state, (now, term, context if features else None))
        return now.x

    leaves = [t.detach().clone().requires_grad_() for t in (random(1, 2, 4, 3), random(1, 2, 2, seed=3), *values)]
    assert torch.autograd.gradcheck(run, leaves, fast_mode=True)


@EVERY
def test_gradcheck_with_weights_for_every_pixel(name: Any) -> None:
    step = ALGORITHMS[name](Smooth(2), gradient_filters(), beta=2.0).double()
    otf = transfer_function(gaussian_psf(0.6)[None].double(), (4, 3))

    def run(y: Tensor, weight: Tensor, bank: Tensor) -> Tensor:
        term, state = Weighted(y, weight, otf, tolerance=1e-13), step.start(y)
        for _ in range(2):
            state = torch.func.functional_call(step, {"filters": bank}, (state, term))
        return state.x

    leaves = [random(1, 1, 4, 3), 0.5 + random(1, 1, 4, 3, seed=1).abs(), gradient_filters().double()]
    assert torch.autograd.gradcheck(run, [t.requires_grad_() for t in leaves], fast_mode=True)


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
def test_majorised_weights_decrease_the_objective(name: Any) -> None:
    bank, prox = gradient_filters().double(), SoftThreshold(0.1)
    term = Majorised(random(1, 1, *SIZE), 0.1 + random(1, 1, *SIZE, seed=1).square())
    step = ALGORITHMS[name](prox, bank, beta=5.0)

    def objective(x: Tensor) -> float:
        return float(term.value(x) + 0.1 * analyse(x, bank).abs().sum())

    assert objective(advance(step, term, 60)) < objective(advance(step, term, 5)) < objective(term.y)


def test_arguments_are_checked() -> None:
    bank = dct_filters(3)
    for arguments, message in (
        ({"filters": bank[..., 0]}, "filters must have shape (K, 1, 3, 3); found (8, 1, 3)"),
        ({"filters": torch.zeros(2, 1, 4, 4)}, "filters must have an odd size; found 4"),
        ({"beta": 0.0}, "beta must be above 0; found 0.0"),
        ({"colour": "lab"}, "colour must be one of 'shared', 'own', 'merged'; found 'lab'"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            HQS(**{"prox": SoftThreshold(), "filters": bank, **arguments})  # type: ignore[arg-type]
    for kind in (ISTA, FISTA):
        with pytest.raises(ValueError, match="inner must be at least 1; found 0"):
            kind(SoftThreshold(), bank, inner=0)
    for prox, colour in (([SoftThreshold()], "merged"), (SoftThreshold(), "own"), ([], "own"), (None, "shared")):
        with pytest.raises(TypeError, match="prox must be"):
            HQS(prox, bank, colour=colour)  # type: ignore[arg-type]
    own = HQS([SoftThreshold()] * 2, bank, colour="own")
    with pytest.raises(ValueError, match="x must have 2 channels, each with its own prox; found 3"):
        advance(own, blurred())
