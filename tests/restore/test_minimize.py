"""All algorithms reach the same minimum, which dense linear algebra certifies."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import lsq_linear
from torch import Tensor

from dirtypixels.blur import transfer_function
from dirtypixels.camera import gaussian_psf
from dirtypixels.restore import ConvergenceError, minimize
from dirtypixels.restore.algorithms import ALGORITHMS
from dirtypixels.restore.filters import dct_filters, gradient_filters
from dirtypixels.restore.prox import IsotropicTV, PointwiseCNN, Prox, SoftThreshold
from dirtypixels.restore.terms import DataTerm, Gaussian, Majorized, Masked, Weighted
from tests.restore.dense import circular_matrix

Array = npt.NDArray[np.float64]
SIZE = (6, 5)
STRENGTH = 0.05


def picture(batch: int = 1, channels: int = 1) -> Tensor:
    """Two plateaus with noise."""
    generator = torch.Generator().manual_seed(0)
    y = 0.2 * torch.randn(batch, channels, *SIZE, generator=generator, dtype=torch.float64)
    y[..., :3, :] += 1
    return y


PSF = gaussian_psf(0.5)[None].double()
OTF = transfer_function(PSF, SIZE)
WEIGHT = 0.3 + torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
MASK = (torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(2)) < 0.8).double()

TERMS = {
    "plain": Gaussian(picture()),
    "blur": Gaussian(picture(), OTF),
    "weights": Weighted(picture(), WEIGHT),
    "weights and blur": Weighted(picture(), WEIGHT, OTF),
    "mask": Masked(picture(), MASK),
    "mask and blur": Masked(picture(), MASK, OTF),
}
PRIORS: dict[str, tuple[Tensor, Prox]] = {
    "l1 of gradients": (gradient_filters().double(), SoftThreshold(STRENGTH)),
    "l1 of DCT": (dct_filters(3).double(), SoftThreshold(0.8 * STRENGTH)),
    "isotropic TV": (gradient_filters().double(), IsotropicTV(STRENGTH)),
}
CASES = [
    ("plain", "l1 of gradients"),
    ("plain", "l1 of DCT"),
    ("plain", "isotropic TV"),
    ("blur", "l1 of DCT"),
    ("blur", "isotropic TV"),
    ("weights", "isotropic TV"),
    ("weights and blur", "l1 of gradients"),
    ("mask", "l1 of DCT"),
    ("mask and blur", "isotropic TV"),
]


class Dense:
    """``1/2 (A x - y)^T W (A x - y) + strength sum |C x|`` as matrices; for isotropic TV the sum is of lengths."""

    def __init__(self, term: DataTerm, bank: Tensor, prox: Prox) -> None:
        n = SIZE[0] * SIZE[1]
        a = np.eye(n) if term.otf is None else circular_matrix(PSF[0, 0].flip(0, 1), *SIZE)
        w = term.weight.flatten().numpy() if isinstance(term, Weighted) else np.ones(n)
        y = term.y.flatten().numpy()
        self.c = np.concatenate([circular_matrix(f[0], *SIZE) for f in bank])
        self.gram, self.right, self.constant = (a.T * w) @ a, (a.T * w) @ y, 0.5 * y @ (w * y)
        self.strength, self.grouped = prox.weight, isinstance(prox, IsotropicTV)

    def primal(self, x: Array) -> float:
        v = self.c @ x
        norm = np.hypot(*v.reshape(2, -1)) if self.grouped else np.abs(v)
        return float(0.5 * x @ self.gram @ x - self.right @ x + self.constant + self.strength * norm.sum())

    def project(self, u: Array) -> Array:
        """Onto the domain of the conjugate of g."""
        if not self.grouped:
            return u.clip(-self.strength, self.strength)
        pairs = u.reshape(2, -1)
        return (pairs / np.maximum(np.hypot(*pairs) / self.strength, 1)).ravel()

    def dual(self, iterations: int = 10_000) -> tuple[Array, float]:
        """The image that belongs to a dual point, found by projected gradient, and that point's value of the dual."""
        inverse = np.linalg.inv(self.gram)
        matrix, offset = self.c @ inverse @ self.c.T, self.c @ inverse @ self.right
        step = 1 / np.linalg.eigvalsh(matrix)[-1]
        u = ahead = np.zeros(len(self.c))
        pace = 1.0
        for _ in range(iterations):
            new = self.project(ahead + step * (offset - matrix @ ahead))
            if (ahead - new) @ (new - u) > 0:
                pace = 1.0
            faster = 0.5 + np.sqrt(0.25 + pace**2)
            ahead, u, pace = new + (pace - 1) / faster * (new - u), new, faster
        left = self.right - self.c.T @ u
        return inverse @ left, float(self.constant - 0.5 * left @ inverse @ left)


@pytest.fixture(scope="module")
def minima() -> dict[tuple[str, str], Array]:
    """Each case by ADMM, to compare the others with."""
    return {(t, p): solve(t, p, "admm") for t, p in CASES}


def solve(term: str, prior: str, algorithm: Any) -> Array:
    bank, prox = PRIORS[prior]
    found = minimize(TERMS[term], bank, prox, algorithm, tolerance=1e-6)
    assert not found.requires_grad
    return found.flatten().numpy()


@pytest.mark.parametrize(("term", "prior"), [case for case in CASES if "mask" not in case[0]])
def test_the_minimum_is_that_of_the_dual_problem(term: str, prior: str, minima: dict[tuple[str, str], Array]) -> None:
    x = minima[term, prior]
    dense = Dense(TERMS[term], *PRIORS[prior])
    image, least = dense.dual()
    np.testing.assert_allclose(x, image, rtol=0, atol=1e-5)
    # No image's objective is below the dual's value, so this one's is nearly the least.
    assert -1e-12 < dense.primal(x) - least < 1e-5
    assert dense.primal(x) < dense.primal(TERMS[term].y.flatten().numpy())


def test_with_missing_samples_a_dual_certificate_exists(minima: dict[tuple[str, str], Array]) -> None:
    """``A^T W (y - A x) = C^T u`` with u in the subdifferential of the l1 norm at C x."""
    x, dense = minima["mask", "l1 of DCT"], Dense(TERMS["mask"], *PRIORS["l1 of DCT"])
    v, s = dense.c @ x, dense.strength
    low = np.where(np.abs(v) > 1e-4, s * np.sign(v) - 1e-9, -s)
    high = np.where(np.abs(v) > 1e-4, s * np.sign(v) + 1e-9, s)
    found = lsq_linear(dense.c.T, dense.right - dense.gram @ x, (low, high), method="bvls", tol=1e-14)
    assert np.abs(found.fun).max() < 1e-5
    assert 0 < (np.abs(v) > 1e-4).mean() < 1


@pytest.mark.parametrize("algorithm", ["ista", "fista", "chambolle_pock"])
@pytest.mark.parametrize(("term", "prior"), CASES)
def test_all_algorithms_agree(algorithm: str, term: str, prior: str, minima: dict[tuple[str, str], Array]) -> None:
    np.testing.assert_allclose(solve(term, prior, algorithm), minima[term, prior], rtol=0, atol=1e-5)


# They need many steps, as their coupling grows.
@pytest.mark.parametrize(
    ("algorithm", "term", "prior"),
    [("hqs", *CASES[5]), ("hqs", *CASES[7]), ("prior_gradient", *CASES[2])],
)
def test_continuation_agrees(algorithm: str, term: str, prior: str, minima: dict[tuple[str, str], Array]) -> None:
    np.testing.assert_allclose(solve(term, prior, algorithm), minima[term, prior], rtol=0, atol=1e-5)


@pytest.mark.parametrize("algorithm", ["admm", "chambolle_pock", "ista", "fista"])
@pytest.mark.parametrize("color", ["own", "merged"])
def test_color(algorithm: Any, color: Any) -> None:
    """Two channels with a weak prior of known minimum: own strengths, or equal responses in both."""
    y, bank = picture(channels=2), dct_filters(3).double()
    alone = [solve_one(Gaussian(y[:, c : c + 1]), 0.02 * (c + 1)) for c in range(2)]
    if color == "own":
        prox: Any = [SoftThreshold(0.02), SoftThreshold(0.04)]
        expected = torch.cat(alone, 1)
    else:
        # Equal responses to all filters without a constant: the images differ by a constant only.
        prox = SoftThreshold(0.02)
        mean, shift = y.mean(1, keepdim=True), y.mean((-2, -1), keepdim=True) - y.mean()
        expected = solve_one(Gaussian(mean), 0.02 / 2) + shift
    found = minimize(Gaussian(y), bank, prox, algorithm, color=color, beta=1.0)
    torch.testing.assert_close(found, expected.expand(found.shape), rtol=0, atol=1e-5)


def solve_one(term: DataTerm, strength: float) -> Tensor:
    return minimize(term, dct_filters(3).double(), SoftThreshold(strength), beta=1.0, tolerance=1e-7)


def test_images_and_channels_of_a_batch_do_not_mix() -> None:
    y, bank = picture(2, 2), gradient_filters().double()
    together = minimize(Gaussian(y), bank, IsotropicTV(0.1))
    for b in range(2):
        for c in range(2):
            alone = minimize(Gaussian(y[b : b + 1, c : c + 1]), bank, IsotropicTV(0.1))
            torch.testing.assert_close(together[b, c], alone[0, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("algorithm", ["admm", "chambolle_pock", "ista", "prior_gradient"])
def test_weight_start_and_coupling_change_no_minimum(algorithm: Any) -> None:
    bank, y = dct_filters(3).double(), picture()
    expected = minimize(Gaussian(y, None, torch.full((1, 1, 1, 1), 2.0).double()), bank, SoftThreshold(0.1))
    found = minimize(Gaussian(y), bank, SoftThreshold(0.1), algorithm, weight=2.0, beta=1.0, start=torch.zeros_like(y))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_majorized_weights_reach_the_minimum_of_the_weights(minima: dict[tuple[str, str], Array]) -> None:
    bank, prox = PRIORS["l1 of gradients"]
    x = minimize(Majorized(picture(), WEIGHT, OTF), bank, prox)
    np.testing.assert_allclose(x.flatten().numpy(), minima["weights and blur", "l1 of gradients"], rtol=0, atol=1e-5)


def test_single_precision() -> None:
    bank, prox = PRIORS["isotropic TV"]
    x = minimize(Gaussian(picture().float()), bank, prox, tolerance=1e-4)
    assert x.dtype == torch.float32
    torch.testing.assert_close(x.double(), minimize(Gaussian(picture()), bank, prox), rtol=0, atol=1e-4)


def test_the_users_modules_stay_as_they_are() -> None:
    bank, prox = dct_filters(3), PointwiseCNN(8, 4)
    state = {name: value.clone() for name, value in prox.state_dict().items()}
    minimize(Gaussian(picture().float()), bank, prox, "hqs", tolerance=0.1)
    assert all(torch.equal(value, state[name]) for name, value in prox.state_dict().items())
    assert all(p.requires_grad for p in prox.parameters())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_raises_where_it_does_not_converge_and_hands_out_the_last_iterate(algorithm: Any) -> None:
    bank, prox = PRIORS["isotropic TV"]
    message = "after 25 iterations the minimum is an estimated .* away where 1e-06 was asked for; allow more iterations"
    with pytest.raises(ConvergenceError, match=message) as caught:
        minimize(TERMS["blur"], bank, prox, algorithm, iterations=25)
    assert caught.value.x.shape == (1, 1, *SIZE)
    with pytest.raises(ConvergenceError):
        minimize(Gaussian(torch.nan * picture()), bank, prox, algorithm, beta=1.0, iterations=100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"algorithm": "newton"}, "algorithm must be one of 'hqs', 'ista', 'fista', 'admm', 'chambolle_pock'"),
        ({"weight": 0.0}, "weight must be above 0; found 0"),
        ({"beta": -1.0}, "beta must be above 0; found -1"),
        ({"tolerance": 0.0}, "tolerance must be above 0; found 0"),
        ({"iterations": 0}, "iterations must be at least 1; found 0"),
        ({"color": "lab"}, "color must be one of 'shared', 'own', 'merged', 'opponent', 'coupled'; found 'lab'"),
    ],
)
def test_raises_for_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        minimize(TERMS["plain"], gradient_filters(), SoftThreshold(), **arguments)
    with pytest.raises(TypeError, match="prox must be a sequence of Prox, one for each channel, for color 'own'"):
        minimize(TERMS["plain"], gradient_filters(), SoftThreshold(), color="own")
    with pytest.raises(TypeError, match="prox must be one Prox for color 'shared'; found list"):
        minimize(TERMS["plain"], gradient_filters(), [SoftThreshold()])
    with pytest.raises(ValueError, match="x must have 2 channels, each with its own prox; found 1"):
        minimize(TERMS["plain"], gradient_filters(), [SoftThreshold(), SoftThreshold()], color="own")
