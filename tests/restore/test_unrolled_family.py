"""Every algorithm unrolled: it trains, in units too, and is what its parts say."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from dirtypixels import Observation
from dirtypixels.camera import gaussian_psf
from dirtypixels.data import natural_patches
from dirtypixels.restore import Deblurrer, Denoiser, ShrinkageField, Unrolled, UnrolledHQS
from dirtypixels.restore.algorithms import ALGORITHMS, FISTA, HQS
from dirtypixels.restore.border import make_periodic
from dirtypixels.restore.filters import gradient_filters
from dirtypixels.restore.prox import IsotropicTV, PointwiseCNN
from dirtypixels.restore.prox.rbf import RBFShrinkage
from dirtypixels.restore.terms import Gaussian, Masked

EVERY = pytest.mark.parametrize("name", ALGORITHMS)


def fit(restore: Any, parameters: Any, clean: Tensor, steps: int = 8) -> list[float]:
    """The loss before each Adam step and after the last."""
    optimizer, losses = torch.optim.Adam(parameters, 0.01), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (restore() - clean).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    with torch.no_grad():
        return [*losses, float((restore() - clean).square().mean())]


TRAINED = [*((name, "shared") for name in ALGORITHMS), ("hqs", "own"), ("hqs", "merged"), ("ista", "own")]


@pytest.mark.parametrize(("name", "color"), [*TRAINED, ("admm", "merged")])
def test_trains(name: Any, color: Any) -> None:
    torch.manual_seed(0)
    clean = 10 * natural_patches(4, 16, gray=False, seed=1)
    noisy = clean + torch.randn(clean.shape)
    unit = Unrolled(name, 2, filter_size=3, gap=4, color=color)
    losses = fit(lambda: unit(noisy), unit.parameters(), clean)
    assert losses[-1] < 0.97 * losses[0]
    assert {n for n, p in unit.named_parameters() if p.grad is None} == set()


@EVERY
def test_units_take_any_solver(name: Any) -> None:
    torch.manual_seed(0)
    clean = natural_patches(1, 16, gray=False, seed=1)
    level = torch.full((1, 1, 1, 1), 0.05)
    obs = Observation(
        (clean + 0.05 * torch.randn(clean.shape)).clamp(0, 1), 0.1 * level, level, gaussian_psf(0.8)[None]
    )
    denoiser = Denoiser(Unrolled(name, 2, filter_size=3, gap=4, features=2))
    losses = fit(lambda: denoiser(obs), denoiser.parameters(), clean)
    assert losses[-1] < losses[0]
    for weighting in ("image", "pixel"):
        deblurrer = Deblurrer(Unrolled(name, 2, filter_size=3, color="merged"), weighting=weighting)  # type: ignore[arg-type]
        losses = fit(lambda d=deblurrer: d(obs), deblurrer.parameters(), clean, 4)
        assert losses[-1] < losses[0]


def test_missing_samples_are_filled_in() -> None:
    """Tiles of which most samples are missing: total variation keeps the edges that a mean of neighbors blurs."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(2, 3, 2, 2, generator=generator).repeat_interleave(8, -1).repeat_interleave(8, -2)
    mask = (torch.rand(2, 1, 16, 16, generator=generator) < 0.4).float()
    term = Masked(mask * clean, mask)
    unit = Unrolled(
        "admm", 40, filters=gradient_filters(), prox=lambda channels: IsotropicTV(0.01), beta=0.1, tied=True
    )
    with torch.no_grad():
        restored, start = unit(term), term.start()
    assert float((restored - clean).square().mean()) < 0.7 * float((start - clean).square().mean())


def test_layers_follow_one_another() -> None:
    torch.manual_seed(0)
    y, start = torch.rand(1, 2, 8, 9), torch.rand(1, 2, 12, 13)
    for tied in (False, True):
        unit = Unrolled(partial(FISTA, inner=2), 3, filter_size=3, gap=4, tied=tied)
        assert len(unit.iterations) == (1 if tied else 3)
        assert all(isinstance(layer, FISTA) and layer.inner == 2 for layer in unit.iterations)
        term = Gaussian(make_periodic(y, 4))
        state: Any = unit.iterations[0].start(start)
        for i in range(3):
            state = unit.iterations[0 if tied else i](state, term)
        with torch.no_grad():
            torch.testing.assert_close(unit(term, start=start), state.x, rtol=0, atol=0)
            torch.testing.assert_close(unit(y, start=start), state.x[..., :8, :9], rtol=0, atol=0)
            torch.testing.assert_close(unit(y), unit(term, start=term.y)[..., :8, :9], rtol=0, atol=0)


def test_named_solvers_are_compositions() -> None:
    field = ShrinkageField(3, functions=7, reach=5.0, filter_size=3)
    assert len(field.iterations) == 3
    for layer in field.iterations:
        assert isinstance(layer, HQS)
        assert isinstance(layer.prox, RBFShrinkage)
        assert layer.filters.shape == (8, 1, 3, 3)
    clean = 10 * natural_patches(4, 16, gray=True, seed=1)
    noisy = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    losses = fit(lambda: field(noisy), field.parameters(), clean)
    assert losses[-1] < 0.97 * losses[0]
    torch.manual_seed(0)
    plain = UnrolledHQS(2, filter_size=3)
    torch.manual_seed(0)
    composed = Unrolled("hqs", 2, filter_size=3)
    assert all(torch.equal(v, composed.state_dict()[k]) for k, v in plain.state_dict().items())


def test_names_of_parameters_stay() -> None:
    """Trained models depend on them."""
    expected = {f"iterations.0.{name}" for name in ("filters", "log_lambda", "log_beta")}
    expected |= {f"iterations.0.prior.prox.{kind}.{i}" for kind in ("weights", "biases") for i in range(3)}
    assert set(UnrolledHQS().state_dict()) == expected
    expected |= {f"iterations.0.prior.prox.shifts.{i}" for i in range(2)} | {"iterations.0.weights_by_context.weight"}
    expected |= {f"embedding.network.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")}
    assert set(UnrolledHQS(features=3).state_dict()) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"algorithm": "newton"}, "algorithm must be one of 'hqs', 'ista', 'fista', 'admm', 'chambolle_pock'"),
        ({"channels": 0}, "channels must be at least 1; found 0"),
        ({"features": -1}, "features must be at least 0; found -1"),
        ({"filters": torch.zeros(2, 1, 17, 17)}, "gap must be at least the filter_size 17; found 16"),
        ({"filters": torch.zeros(2, 3, 3, 3)}, "filters must have shape (K, 1, 3, 3); found (2, 3, 3, 3)"),
        ({"color": "lab"}, "color must be one of 'shared', 'own', 'merged', 'opponent', 'coupled'; found 'lab'"),
    ],
)
def test_raises_for_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Unrolled(**arguments)


def test_raises_for_another_number_of_channels_than_own_ones() -> None:
    unit = Unrolled(filter_size=3, color="own", channels=2, prox=lambda channels: PointwiseCNN(channels, 3))
    assert unit(torch.rand(1, 2, 8, 8)).shape == (1, 2, 8, 8)
    with pytest.raises(ValueError, match="x must have 2 channels, each with its own prox; found 3"):
        unit(torch.rand(1, 3, 8, 8))
