"""How the channels of an image share a prior, for every algorithm."""

from __future__ import annotations

from typing import Any, ClassVar, get_args

import pytest
import torch
from torch import Tensor

from dirtypixels.restore.algorithms import ALGORITHMS, HQS, Color, ColorPrior
from dirtypixels.restore.channels import apply_power, color_filters, from_opponent, to_opponent
from dirtypixels.restore.filters import dct_filters
from dirtypixels.restore.prox import IsotropicTV, Prox, SoftThreshold
from dirtypixels.restore.terms import Gaussian, Masked
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

    @EVERY
    def test_opponent_is_own_in_opponent_colors(self, name: Any) -> None:
        """With one PSF for all channels the data term does not know which way the channels are turned."""
        given = blurred()
        assert given.otf is not None
        # Algorithms whose step follows the largest eigenvalue take one step for all opponent colors.
        alike = 1 if name in ("hqs", "admm") else 0
        otf, banks = given.otf[:, :1], self.bank + 0.3 * alike * random(3, 8, 1, 3, 3, seed=4)
        proxes = [SoftThreshold(0.1 * (c + 1)) for c in range(3)]

        def restored(color: Any, y: Tensor) -> Tensor:
            step = ALGORITHMS[name](proxes, self.bank, color=color).double()
            step.filters.data = banks
            return advance(step, Gaussian(y, otf, torch.full((1, 1, 1, 1), 2.0)))

        expected = from_opponent(restored("own", to_opponent(given.y)))
        torch.testing.assert_close(restored("opponent", given.y), expected, rtol=0, atol=1e-10)

    @EVERY
    def test_coupled_with_a_separable_prior_is_opponent(self, name: Any) -> None:
        """Started from `color_filters`, and with a PSF and a weight for each channel, which couple the solve."""
        term = blurred()
        step = ALGORITHMS[name](SoftThreshold(0.2), color_filters(self.bank), color="coupled").double()
        opponent = ALGORITHMS[name]([SoftThreshold(0.2)] * 3, self.bank, color="opponent").double()
        torch.testing.assert_close(advance(step, term), advance(opponent, term), rtol=0, atol=1e-10)

    @pytest.mark.parametrize("color", ["opponent", "coupled"])
    def test_a_step_with_missing_samples_solves_its_normal_equations(self, color: Any) -> None:
        """Against a dense solve over all pixels and channels, the matrix being built column by column."""
        y, mask = random(1, 3, *SIZE, seed=5), (random(1, 3, *SIZE, seed=6) > 0).double()
        prox, bank = SoftThreshold(0.3), self.bank[:4]
        step = (
            HQS([prox] * 3, bank, color=color) if color == "opponent" else HQS(prox, color_filters(bank), color=color)
        )
        step = step.double()
        step.filters.data = step.filters.data + 0.1 * random(*step.filters.shape, seed=7)
        start = random(1, 3, *SIZE, seed=8)
        z = step.prior(step.prior.analyze(start, step.filters), torch.ones((), dtype=torch.float64), 3)
        columns = torch.eye(y.numel(), dtype=torch.float64).reshape(-1, *y.shape[1:])
        normal = step.prior.synthesize(step.prior.analyze(columns, step.filters), step.filters)
        matrix = (normal + mask * columns).flatten(1)
        right = mask * y + step.prior.synthesize(z, step.filters)
        found = step(step.start(start), Masked(y, mask, tolerance=1e-13)).x
        torch.testing.assert_close(found.flatten(), torch.linalg.solve(matrix, right.flatten()), rtol=0, atol=1e-9)

    @pytest.mark.parametrize("color", get_args(Color))
    def test_analysis_and_synthesis_are_adjoint(self, color: Any) -> None:
        own = color in ("own", "opponent")
        prior = ColorPrior([SoftThreshold()] * 3 if own else SoftThreshold(), color).double()
        bank = random(3, 4, 1, 3, 3) if own else random(12, 3, 3, 3) if color == "coupled" else random(4, 1, 3, 3)
        x, u = random(2, 3, *SIZE, seed=1), random(2, 12, *SIZE, seed=2)
        assert prior.responses(bank, 3) == 12
        inner = (prior.analyze(x, bank) * u).sum(), (x * prior.synthesize(u, bank)).sum()
        torch.testing.assert_close(*inner, rtol=1e-10, atol=1e-10)
        normal = prior.synthesize(prior.analyze(x, bank), bank)
        expected = torch.fft.irfft2(apply_power(prior.power(bank, SIZE), torch.fft.rfft2(x)), s=SIZE)
        torch.testing.assert_close(normal, expected, rtol=1e-10, atol=1e-10)

    @EVERY
    @pytest.mark.parametrize("color", get_args(Color))
    def test_a_prior_that_is_not_pointwise_gets_whole_images(self, name: Any, color: Any) -> None:
        def made(kind: type[Prox]) -> Any:
            return [kind(0.2) for _ in range(3)] if color in ("own", "opponent") else kind(0.2)  # type: ignore[call-arg]

        bank = color_filters(self.bank) if color == "coupled" else self.bank
        whole, pointwise = (
            advance(ALGORITHMS[name](made(kind), bank, color=color).double(), blurred())
            for kind in (Whole, SoftThreshold)
        )
        torch.testing.assert_close(whole, pointwise, rtol=0, atol=1e-10)
