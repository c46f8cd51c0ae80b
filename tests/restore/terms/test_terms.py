"""Data terms against dense linear algebra, and their gradients against autograd."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from dirtypixels.blur import transfer_function
from dirtypixels.restore import ConvergenceError
from dirtypixels.restore.filters import gradient_filters, power_spectrum
from dirtypixels.restore.terms import DataTerm, Gaussian, Majorized, Masked, Weighted
from tests.restore.dense import circular_matrix

Array = npt.NDArray[np.float64]
BATCH, CHANNELS, SIZE = 2, 3, (4, 5)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


Y = random(BATCH, CHANNELS, *SIZE)
PSF = 0.1 + uniform(1, CHANNELS, 3, 3, seed=1)
PSF[..., 1, 1] += 2
PSF /= PSF.sum((-2, -1), keepdim=True)
OTF = transfer_function(PSF, SIZE)
PER_IMAGE = 0.5 + uniform(BATCH, 1, 1, 1, seed=2)
PER_PIXEL = 0.1 + uniform(BATCH, 1, *SIZE, seed=3)
MASK = (uniform(1, CHANNELS, *SIZE, seed=4) < 0.7).double()
TIGHT = {"tolerance": 1e-13}

TERMS: dict[str, DataTerm] = {
    "plain": Gaussian(Y),
    "weight": Gaussian(Y, None, PER_IMAGE),
    "blur": Gaussian(Y, OTF),
    "weight and blur": Gaussian(Y, OTF, PER_IMAGE),
    "pixel": Weighted(Y, PER_PIXEL, **TIGHT),
    "pixel and blur": Weighted(Y, PER_PIXEL, OTF, **TIGHT),
    "mask": Masked(Y, MASK, **TIGHT),
    "mask and blur": Masked(Y, MASK, OTF, **TIGHT),
    "majorized": Majorized(Y, PER_PIXEL, OTF, **TIGHT),
}
EVERY = pytest.mark.parametrize("name", TERMS)


def weight_of(term: DataTerm) -> Tensor:
    """w of every sample."""
    weight = term.weight  # type: ignore[attr-defined]
    return torch.ones_like(Y) if weight is None else weight.expand(Y.shape)


def matrices(term: DataTerm, b: int, c: int) -> tuple[Array, Array, Array]:
    """A, W and y of one image and channel."""
    a = np.eye(SIZE[0] * SIZE[1]) if term.otf is None else circular_matrix(PSF[0, c].flip(0, 1), *SIZE)
    return a, np.diag(weight_of(term)[b, c].flatten().numpy()), term.y[b, c].flatten().numpy()


def each() -> list[tuple[int, int]]:
    return [(b, c) for b in range(BATCH) for c in range(CHANNELS)]


@EVERY
def test_value_and_gradient(name: str) -> None:
    term, x = TERMS[name], random(BATCH, CHANNELS, *SIZE, seed=5).requires_grad_()
    value = term.value(x)
    assert value.shape == (BATCH,)
    for b in range(BATCH):
        dense = 0.0
        for c in range(CHANNELS):
            a, w, y = matrices(term, b, c)
            r = a @ x[b, c].detach().flatten().numpy() - y
            dense += 0.5 * r @ w @ r
        assert value[b].item() == pytest.approx(dense, rel=1e-12)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    torch.testing.assert_close(term.gradient(x), gradient, rtol=1e-10, atol=1e-12)


@EVERY
def test_lipschitz_bounds_the_largest_eigenvalue(name: str) -> None:
    term = TERMS[name]
    bound = term.lipschitz.expand(BATCH, CHANNELS, 1, 1)
    for b, c in each():
        a, w, _ = matrices(term, b, c)
        largest = np.linalg.eigvalsh(a.T @ w @ a)[-1]
        assert float(bound[b, c]) >= largest * (1 - 1e-12)
        if isinstance(term, Gaussian) or term.otf is None:
            assert float(bound[b, c]) == pytest.approx(largest, rel=1e-10)


@EVERY
@pytest.mark.parametrize("circulant", [False, True])
@pytest.mark.parametrize("scalars", [False, True])
def test_solve_agrees_with_a_dense_solve(name: str, circulant: bool, scalars: bool) -> None:
    term, right = TERMS[name], random(BATCH, CHANNELS, *SIZE, seed=6)
    bank = gradient_filters().double()
    rho = torch.tensor(0.7).double() if scalars else 0.3 + uniform(BATCH, 1, 1, 1, seed=7)
    weight = torch.tensor(1.3).double() if scalars else 0.5 + uniform(BATCH, CHANNELS, 1, 1, seed=8)
    power = power_spectrum(bank, SIZE) if circulant else None
    found = term.solve(torch.fft.rfft2(right), rho, power, weight, guess=random(BATCH, CHANNELS, *SIZE, seed=9))
    q = sum(m.T @ m for m in (circular_matrix(f[0], *SIZE) for f in bank)) if circulant else np.eye(20)
    for b, c in each():
        a, w, y = matrices(term, b, c)
        r, lam = (float(t.expand(BATCH, CHANNELS, 1, 1)[b, c]) for t in (rho, weight))
        expected = np.linalg.solve(lam * a.T @ w @ a + r * q, lam * a.T @ w @ y + right[b, c].flatten().numpy())
        np.testing.assert_allclose(found[b, c].flatten().numpy(), expected, rtol=0, atol=1e-9)


MAKERS: dict[str, Callable[[Tensor, Tensor, Tensor], DataTerm]] = {
    "gaussian": lambda y, w, psf: Gaussian(y, transfer_function(psf, (3, 4)), w.mean((-2, -1), keepdim=True)),
    "sharp": lambda y, w, psf: Weighted(y, w, **TIGHT),
    "blurred": lambda y, w, psf: Weighted(y, w, transfer_function(psf, (3, 4)), **TIGHT),
    "near": lambda y, w, psf: Majorized(y, w, transfer_function(psf, (3, 4))).near(2 * y),
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("circulant", [False, True])
def test_gradcheck_of_solve(maker: str, circulant: bool) -> None:
    """In everything but the guess."""
    y, right = random(2, 1, 3, 4), random(2, 1, 3, 4, seed=1)
    weight, psf = 0.5 + uniform(2, 1, 3, 4, seed=2), PSF[:, :1]
    bank, rho, lam = random(2, 1, 3, 3, seed=3), 0.5 + uniform(2, 1, 1, 1, seed=4), torch.tensor(1.2).double()

    def solve(y: Tensor, weight: Tensor, psf: Tensor, right: Tensor, rho: Tensor, lam: Tensor, bank: Tensor) -> Tensor:
        power = power_spectrum(bank, (3, 4)) if circulant else None
        return MAKERS[maker](y, weight, psf).solve(torch.fft.rfft2(right), rho, power, lam)

    leaves = [t.detach().clone().requires_grad_() for t in (y, weight, psf, right, rho, lam, bank)]
    assert torch.autograd.gradcheck(solve, leaves)


def test_memory_does_not_grow_with_the_iterations() -> None:
    def kept(tolerance: float) -> int:
        total = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        term = Weighted(Y.clone().requires_grad_(), PER_PIXEL, OTF, tolerance=tolerance)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            term.solve(torch.fft.rfft2(Y), torch.tensor(0.01))
        return total

    assert kept(0.5) == kept(1e-12) > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_default_tolerance_is_reached(dtype: torch.dtype) -> None:
    # Most samples missing, and a prior that says nothing of the mean: badly conditioned, as in practice.
    mask = (uniform(1, 1, 24, 24, seed=1) < 0.2).to(dtype)
    power = power_spectrum(gradient_filters().to(dtype), (24, 24))
    y = random(1, 1, 24, 24).to(dtype)
    term = Masked(y, mask)
    x = term.solve(torch.zeros_like(torch.fft.rfft2(y)), torch.tensor(0.01, dtype=dtype), power)
    residual = term.gradient(x) + 0.01 * term.image(power * torch.fft.rfft2(x))
    assert x.dtype == dtype
    assert float(residual.norm() / (mask * y).norm()) < 3 * torch.finfo(dtype).eps ** (2 / 3)


def test_raises_where_it_does_not_converge_in_both_directions() -> None:
    right, rho = torch.fft.rfft2(Y).requires_grad_(), torch.tensor(1e-3)
    message = re.escape("after 2 iterations where 1e-12 was asked for; allow more iterations or a larger tolerance")
    with pytest.raises(ConvergenceError, match=message) as caught:
        Weighted(Y, PER_PIXEL, OTF, tolerance=1e-12, iterations=2).solve(right, rho)
    assert caught.value.x.shape == Y.shape
    solution = Weighted(Y, PER_PIXEL, OTF, tolerance=1e-13).solve(right, rho)
    term = Weighted(Y, PER_PIXEL, OTF, tolerance=1e-12, iterations=2)
    restored = term.solve(right, rho, guess=solution.detach())
    with pytest.raises(ConvergenceError, match=message):
        restored.sum().backward()
    with pytest.raises(ConvergenceError, match="relative residual of nan"):
        Weighted(Y, PER_PIXEL, OTF).solve(torch.nan * right, rho)


class TestMajorised:
    def test_touches_at_the_iterate_and_lies_above_elsewhere(self) -> None:
        term, x = TERMS["majorized"], random(BATCH, CHANNELS, *SIZE, seed=5)
        above = term.near(x)
        assert isinstance(above, Gaussian)
        torch.testing.assert_close(above.gradient(x), term.gradient(x), rtol=1e-10, atol=1e-12)
        constant = term.value(x) - above.value(x)
        for seed in range(20):
            other = x + random(BATCH, CHANNELS, *SIZE, seed=10 + seed)
            assert bool((above.value(other) + constant >= term.value(other)).all())

    def test_other_terms_stand_for_themselves(self) -> None:
        assert all(term.near(Y) is term for name, term in TERMS.items() if name != "majorized")


class TestStart:
    def test_is_what_was_measured(self) -> None:
        for name in ("plain", "blur", "pixel", "pixel and blur"):
            torch.testing.assert_close(TERMS[name].start(), Y, rtol=0, atol=0)

    def test_fills_what_is_missing(self) -> None:
        y, mask = torch.zeros(1, 1, 7, 7, dtype=torch.float64), torch.zeros(1, 1, 7, 7, dtype=torch.float64)
        y[..., 0, 0], y[..., 0, 2], y[..., 1, 1] = 3.0, 5.0, 100.0
        mask[..., 0, 0] = mask[..., 0, 2] = 1
        start = Masked(y, mask).start()[0, 0]
        # The last column sees the first; 4 is also the mean of all.
        assert start[0].tolist() == pytest.approx([3, 4, 5, 5, 4, 4, 3])
        assert float(start[1, 1]) == pytest.approx(4)
        assert float(start[4, 4]) == pytest.approx(4)


def test_poisson_gaussian_weights() -> None:
    alpha, sigma = (
        torch.full((2, 1, 1, 1), 0.1, dtype=torch.float64),
        torch.full((2, 3, 1, 1), 0.2, dtype=torch.float64),
    )
    estimate = random(BATCH, CHANNELS, *SIZE, seed=1)
    term = Weighted.poisson_gaussian(Y, alpha, sigma, estimate, OTF, tolerance=1e-3, iterations=7)
    expected = 1 / (0.1 * np.maximum(estimate.numpy(), 0) + 0.2**2)
    np.testing.assert_allclose(term.weight.numpy(), expected, rtol=1e-12)
    assert (term.otf is OTF, term.tolerance, term.iterations) == (True, 1e-3, 7)
    with pytest.raises(ValueError, match="must give every sample a variance above 0"):
        Weighted.poisson_gaussian(Y, alpha, 0 * sigma, estimate)


HOLE = torch.ones(BATCH, CHANNELS, *SIZE).double()
HOLE[1, 2] = 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Gaussian(Y.long()), TypeError, "y must be a floating-point tensor"),
        (lambda: Gaussian(Y[0]), ValueError, "y must have shape (B, C, H, W)"),
        (lambda: Gaussian(Y, OTF[..., :-1]), ValueError, "otf must have shape (1|2, 1|3, 4, 3); found (1, 3, 4, 2)"),
        (lambda: Gaussian(Y, None, PER_PIXEL), ValueError, "weight must have shape (1|2, 1|3, 1, 1)"),
        (lambda: Gaussian(Y, None, -PER_IMAGE), ValueError, "weight must be at least 0"),
        (lambda: Weighted(Y, PER_PIXEL.long()), TypeError, "weight must be a floating-point tensor"),
        (lambda: Weighted(Y, PER_IMAGE), ValueError, "weight must have shape (1|2, 1|3, 4, 5)"),
        (lambda: Weighted(Y, -PER_PIXEL), ValueError, "weight must be at least 0"),
        (lambda: Weighted(Y, HOLE), ValueError, "weight must be above 0 somewhere in every image and channel"),
        (lambda: Weighted(Y, PER_PIXEL, iterations=0), ValueError, "iterations must be at least 1; found 0"),
        (lambda: Weighted(Y, PER_PIXEL, tolerance=0.0), ValueError, "tolerance must be above 0 and below 1; found 0"),
        (lambda: Masked(Y, HOLE), ValueError, "mask must be above 0 somewhere in every image and channel"),
        (lambda: Masked(Y, 0.5 * MASK), ValueError, "mask must be 0 or 1 everywhere; found values between"),
        (lambda: Masked(Y, MASK.bool()), TypeError, "mask must be a floating-point tensor; found torch.bool"),
    ],
)
def test_raises_for_arguments_that_do_not_fit(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()
