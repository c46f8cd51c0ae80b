"""The generalized Anscombe transform and its inverses, against quadrature that is written here from the model."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from dirtypixels.restore import anscombe

Array = npt.NDArray[np.float64]

# (alpha, sigma) of the range that the transform promises to bear, with both edges; not both 0.
EXTREMES = [
    (alpha, sigma)
    for alpha in (0.0, 1e-6, 1e-3, 0.1248, 1.0)
    for sigma in (0.0, 1e-6, 1e-3, 0.3155, 1.0)
    if alpha or sigma
]
KINDS: list[dict[str, Any]] = [
    {"kind": "exact"},
    {"kind": "exact", "clipped": True},
    {"kind": "closed_form"},
    {"kind": "algebraic"},
]


def level(value: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.full((1, 1, 1, 1), value, dtype=dtype)


def row(values: Any, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.as_tensor(np.asarray(values, dtype=float)).to(dtype).view(1, 1, 1, -1)


def textbook(y: Array, alpha: float, sigma: float) -> Array:
    """Mäkitalo and Foi 2013, eq. 3, less the constant that the package documents."""
    root = np.sqrt(np.maximum(alpha * y + 0.375 * alpha**2 + sigma**2, 0))
    return np.asarray(2 / alpha * root - 2 * sigma / alpha)


def poisson_weights(x: Array, alpha: float) -> tuple[Array, Array]:
    """Photon counts, and for each x the probability of each."""
    rate = x / alpha
    counts = np.arange(0.0, rate.max() + 12 * math.sqrt(rate.max()) + 40)
    return counts, stats.poisson.pmf(counts, rate[:, None])


def stabilized_moments(x: Array, alpha: float, sigma: float, power: int = 1) -> Array:
    """``E[f(alpha P + sigma N)^power]`` without clipping: a sum over counts of a trapezoid over the Gaussian."""
    counts, weights = poisson_weights(x, alpha)
    z = np.linspace(-10, 10, 8001)
    values = textbook(alpha * counts[:, None] + sigma * z, alpha, sigma) ** power
    return np.asarray(weights @ integrate.trapezoid(values * stats.norm.pdf(z), z, axis=1))


def clipped_mean(x: Array, alpha: float, sigma: float) -> Array:
    """``E[f(clip(alpha P + sigma N, 0, 1))]``: heaps of probability at 0 and 1, Simpson's rule between."""
    counts, weights = poisson_weights(x, alpha)
    center = alpha * counts
    if sigma == 0:
        return np.asarray(weights @ textbook(center.clip(0, 1), alpha, sigma))
    y = np.linspace(0, 1, 2001)
    density = stats.norm.pdf((y - center[:, None]) / sigma) / sigma
    ends = textbook(np.array([0.0, 1.0]), alpha, sigma)
    given_count = integrate.simpson(density * textbook(y, alpha, sigma), x=y, axis=1)
    given_count += ends[0] * stats.norm.cdf(-center / sigma) + ends[1] * stats.norm.sf((1 - center) / sigma)
    return np.asarray(weights @ given_count)


@pytest.mark.parametrize(("alpha", "sigma"), [(1e-6, 1e-4), (0.0624, 0.1578), (0.1248, 0.0), (1.0, 1.0)])
def test_forward_is_the_textbook_transform_less_a_constant(alpha: float, sigma: float) -> None:
    y = np.linspace(0, 1, 101)
    got = anscombe.forward(row(y), level(alpha), level(sigma)).flatten().numpy()
    # The textbook form cancels: its error is that of its largest term.
    error = 8 * np.finfo(float).eps * 2 / alpha * math.sqrt(alpha + 0.375 * alpha**2 + sigma**2)
    np.testing.assert_allclose(got, textbook(y, alpha, sigma), rtol=1e-12, atol=error)


def test_forward_where_the_root_ends() -> None:
    alpha, sigma = 0.1, 0.05
    end = -(0.375 * alpha + sigma**2 / alpha)
    got = anscombe.forward(row([end - 1, end, end + 1e-3]), level(alpha), level(sigma)).flatten()
    assert float(got[0]) == pytest.approx(-2 * sigma / alpha, rel=1e-12)
    assert float(got[1]) == pytest.approx(-2 * sigma / alpha, rel=1e-6)  # a root of rounding is half as accurate
    assert float(got[2]) == pytest.approx(2 / alpha * math.sqrt(alpha * 1e-3) - 2 * sigma / alpha, rel=1e-9)


@pytest.mark.parametrize("ratio", [0.0, 0.5, 2.0])
def test_variance_is_1_after_it(ratio: float) -> None:
    photons = np.array([10.0, 20.0, 50.0, 100.0])
    variance = stabilized_moments(photons, 1.0, ratio, 2) - stabilized_moments(photons, 1.0, ratio) ** 2
    # Expanding f about the mean m leaves r^2 / (2 (m + r^2)^2) for the read noise and 1 / (16 m^2) without it
    # (Anscombe 1948), to be followed by a power of 1/m more: from 10 photons on twice that bounds it all.
    left = ratio**2 / (2 * (photons + ratio**2) ** 2) + 1 / (16 * photons**2)
    assert (np.abs(variance - 1) < 2 * left + 1e-5).all()
    # The reference above is the package's transform.
    y = np.linspace(0, 3, 50)
    got = anscombe.forward(row(y), level(1.0), level(ratio)).flatten().numpy()
    np.testing.assert_allclose(got, textbook(y, 1.0, ratio), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.3, 0.5, 1.0, 2.0, 2.5278, 5.0])
def test_exact_inverse_undoes_the_mean(ratio: float) -> None:
    photons = np.geomspace(0.05, 100, 25)
    mean = stabilized_moments(photons, 1.0, ratio)  # depends on x/alpha and sigma/alpha alone
    for alpha in (1e-6, 1e-3, 0.1):
        got = anscombe.inverse(row(mean), level(alpha), level(ratio * alpha)).flatten().numpy()
        assert (np.abs(got / alpha - photons) <= np.maximum(0.01 * photons, 0.005)).all()


@pytest.mark.parametrize(
    ("alpha", "ratio"),
    [
        *[(1e-3, 1.0), (1e-2, 0.0), (1e-2, 0.3), (1e-2, 2.5278), (1e-2, 5.0)],
        *[(0.0624, 0.0), (0.0624, 2.5278), (0.1248, 0.0), (0.1248, 1.0), (0.1248, 2.5278), (0.1248, 5.0)],
        *[(0.5, 0.5), (0.5, 2.0), (1.0, 0.0), (1.0, 1.0)],
    ],
)
def test_exact_inverse_undoes_the_mean_of_the_clipped_signal(alpha: float, ratio: float) -> None:
    x = np.concatenate([np.geomspace(1e-3, 0.5, 15), 1 - np.geomspace(0.4, 1e-3, 12)])
    mean = clipped_mean(x, alpha, ratio * alpha)
    got = anscombe.inverse(row(mean), level(alpha), level(ratio * alpha), clipped=True).flatten().numpy()
    assert (np.abs(got - x) <= np.maximum(0.01 * x, 0.005 * alpha)).all()


def test_clipping_is_what_the_clipped_inverse_undoes() -> None:
    # At 3 lux a black pixel's mean is lifted by 0.13; the other inverses keep most of that.
    alpha, sigma = 0.1248, 0.3155
    mean = clipped_mean(np.array([1e-6]), alpha, sigma)
    signal_mean = sigma / math.sqrt(2 * math.pi) - sigma * (
        stats.norm.pdf(1 / sigma) - stats.norm.sf(1 / sigma) / sigma
    )
    assert signal_mean == pytest.approx(0.126, abs=1e-3)
    assert abs(float(anscombe.inverse(row(mean), level(alpha), level(sigma), clipped=True))) < 0.005 * alpha
    assert float(anscombe.inverse(row(mean), level(alpha), level(sigma))) > 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_alpha_zero_is_gaussian_noise(dtype: torch.dtype) -> None:
    sigma, zero = level(0.2, dtype), level(0.0, dtype)
    y = row([0.0, 0.3, 1.0, -0.5, 2.0], dtype)
    torch.testing.assert_close(anscombe.forward(y, zero, sigma), y / 0.2)
    for kind in ("exact", "closed_form", "algebraic"):
        torch.testing.assert_close(anscombe.inverse(y / 0.2, zero, sigma, kind), y, rtol=1e-5, atol=1e-6)  # type: ignore[arg-type]
    # The mean of a clipped Gaussian in closed form.
    x = np.linspace(0, 1, 11)
    a, b = -x / 0.2, (1 - x) / 0.2
    mean = (
        x * (stats.norm.cdf(b) - stats.norm.cdf(a)) + 0.2 * (stats.norm.pdf(a) - stats.norm.pdf(b)) + stats.norm.sf(b)
    )
    got = anscombe.inverse(row(mean / 0.2, dtype), zero, sigma, clipped=True).flatten().double().numpy()
    np.testing.assert_allclose(got, x, rtol=0, atol=0.005 * 0.2)


@pytest.mark.parametrize("small", [1e-4, 1e-5, 1e-6])
def test_small_alpha_tends_to_alpha_zero(small: float) -> None:
    y, sigma = row(np.linspace(0, 1, 11), torch.float32), level(0.2, torch.float32)
    difference = anscombe.forward(y, level(small, torch.float32), sigma) - y / 0.2
    # f(y) = y/sigma + 3/8 alpha/sigma - alpha y^2/(4 sigma^3) + ...; and rounding of single precision.
    assert float(difference.abs().max()) < small * (0.375 / 0.2 + 0.25 / 0.2**3) + 10 * 1.2e-7 / 0.2


@pytest.mark.parametrize(("alpha", "sigma"), [(1e-3, 1e-3), (0.0624, 0.1578), (0.1248, 0.0), (1.0, 0.5)])
def test_closed_form_is_makitalo_and_fois(alpha: float, sigma: float) -> None:
    d = np.linspace(math.sqrt(1.5), 60, 40)  # the textbook's argument
    c = math.sqrt(1.5)
    expected = alpha * (d**2 / 4 + c / 4 / d - 11 / 8 / d**2 + 5 / 8 * c / d**3 - 1 / 8 - (sigma / alpha) ** 2)
    got = anscombe.inverse(row(d - 2 * sigma / alpha), level(alpha), level(sigma), "closed_form")
    np.testing.assert_allclose(got.flatten().numpy(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("alpha", "sigma"), EXTREMES)
def test_algebraic_inverse_gives_the_signal_back_in_single_precision(alpha: float, sigma: float) -> None:
    y = row(np.linspace(0, 1, 257), torch.float32)
    a, s = level(alpha, torch.float32), level(sigma, torch.float32)
    stabilized = anscombe.forward(y, a, s)
    back = anscombe.inverse(stabilized, a, s, "algebraic")
    d = stabilized.double()
    terms = 0.25 * alpha * d**2 + sigma * d + 0.375 * alpha
    # Either direction rounds about ten times, each time by half an eps of one of these terms.
    assert bool(((back - y).double().abs() <= 10 * torch.finfo(torch.float32).eps * terms.abs() + 1e-30).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("arguments", KINDS, ids=str)
def test_values_and_gradients_are_finite_over_the_whole_range(dtype: torch.dtype, arguments: dict[str, Any]) -> None:
    signal = row([0.0, torch.finfo(dtype).tiny, 1e-6, 0.5, 1 - 1e-6, 1.0], dtype).repeat(len(EXTREMES), 1, 1, 1)
    signal.requires_grad_()
    alpha, sigma = (
        torch.tensor(v, dtype=dtype).view(-1, 1, 1, 1).requires_grad_() for v in zip(*EXTREMES, strict=True)
    )
    stabilized = anscombe.forward(signal, alpha, sigma)
    # What a network makes of it can lie anywhere.
    wild = torch.cat([stabilized, row([-1e3, -1.0, 0.0, 1e4], dtype).expand(len(EXTREMES), 1, 1, 4)], -1)
    image = anscombe.inverse(wild, alpha, sigma, **arguments)
    for output in (stabilized, image):
        assert bool(output.isfinite().all())
        for gradient in torch.autograd.grad(output.sum(), (signal, alpha, sigma), retain_graph=True):
            assert bool(gradient.isfinite().all())
    with torch.no_grad():
        tabulated = anscombe.inverse(wild, alpha, sigma, **arguments)
    torch.testing.assert_close(tabulated, image)


@pytest.mark.parametrize("arguments", [None, *KINDS], ids=str)
@pytest.mark.parametrize(("alpha", "sigma"), [(0.1248, 0.3155), (0.01, 0.004)])
def test_gradcheck(alpha: float, sigma: float, arguments: dict[str, Any] | None) -> None:
    inputs = [row([0.1, 0.45, 0.83]), level(alpha), level(sigma)]
    if arguments is not None:
        inputs[0] = anscombe.forward(*inputs)
    inputs = [v.requires_grad_() for v in inputs]

    def function(*v: Tensor) -> Tensor:
        return anscombe.forward(*v) if arguments is None else anscombe.inverse(*v, **arguments)

    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("arguments", [None, *KINDS], ids=str)
@pytest.mark.parametrize(
    "shapes", [((3, 1, 1, 1), (3, 1, 1, 1)), ((3, 2, 1, 1), (3, 1, 1, 1)), ((1, 1, 1, 1), (3, 2, 1, 1))]
)
@pytest.mark.parametrize("differentiated", [False, True])
def test_parameters_per_sample_and_channel_equal_one_by_one(
    arguments: dict[str, Any] | None, shapes: tuple[tuple[int, ...], tuple[int, ...]], differentiated: bool
) -> None:
    random = torch.Generator().manual_seed(0)
    alpha, sigma = (0.02 + 0.2 * torch.rand(shape, generator=random, dtype=torch.float64) for shape in shapes)
    signal = torch.rand(3, 2, 4, 5, generator=random, dtype=torch.float64)
    signal = signal if arguments is None else anscombe.forward(signal, alpha, sigma)

    def function(*v: Tensor) -> Tensor:
        return anscombe.forward(*v) if arguments is None else anscombe.inverse(*v, **arguments)

    together = function(signal, alpha.requires_grad_(differentiated), sigma).detach()
    a, s = (v.detach().expand(3, 2, 1, 1) for v in (alpha, sigma))
    for i in range(3):
        for c in range(2):
            alone = function(signal[i, c], a[i, c], s[i, c])
            torch.testing.assert_close(together[i, c], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("alpha", "sigma"), [(0.0624, 0.1578), (0.1248, 0.3155), (0.1248, 0.0), (1e-4, 1e-3), (0.0, 0.1)]
)
@pytest.mark.parametrize("clipped", [False, True])
def test_forward_and_exact_inverse_increase(alpha: float, sigma: float, clipped: bool) -> None:
    stabilized = anscombe.forward(row(np.linspace(0, 1, 2001)), level(alpha), level(sigma))
    assert bool((stabilized.diff() > 0).all())
    least = -2 * sigma / alpha if alpha else -20.0  # the transform gives nothing below
    beyond = row(np.linspace(least, float(stabilized.max()) + 20, 4001))
    image = anscombe.inverse(beyond, level(alpha), level(sigma), clipped=clipped)
    assert bool((image.diff() > 0).all())
    below = anscombe.inverse(row([least - 1, least]), level(alpha), level(sigma), clipped=clipped)
    assert float(below.diff()) >= 0


def test_single_precision_agrees_with_double() -> None:
    for alpha, sigma in EXTREMES:
        stabilized = anscombe.forward(row(np.linspace(0, 1, 65)), level(alpha), level(sigma))
        for clipped in (False, True):
            double = anscombe.inverse(stabilized, level(alpha), level(sigma), clipped=clipped)
            single = anscombe.inverse(
                *(v.float() for v in (stabilized, level(alpha), level(sigma))),  # type: ignore[arg-type]
                clipped=clipped,
            )
            eps = torch.finfo(torch.float32).eps
            # Rounding the argument by eps moves the image by eps d x'(d); both, and the correction, are of this size.
            size = 0.5 * alpha * stabilized.square() + sigma * stabilized.abs() + alpha + sigma
            assert bool(((single.double() - double).abs() <= 20 * eps * size).all())


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"alpha": level(-0.1)}, ValueError, "alpha must be at least 0; found -0.1"),
        ({"sigma": level(-0.1)}, ValueError, "sigma must be at least 0; found -0.1"),
        ({"alpha": level(math.nan)}, ValueError, "alpha must be finite"),
        ({"sigma": level(math.inf)}, ValueError, "sigma must be finite"),
        ({"alpha": 0.1}, TypeError, "alpha must be a torch.Tensor; found float"),
        ({"sigma": level(0).long()}, TypeError, "sigma must be a floating-point tensor; found torch.int64"),
        ({"alpha": level(0), "sigma": level(0)}, ValueError, "alpha and sigma must not both be 0"),
        (
            {"alpha": torch.tensor([0.0, 0.1]).view(2, 1, 1, 1), "sigma": torch.tensor([0.0, 0.1]).view(2, 1, 1, 1)},
            ValueError,
            "alpha and sigma must not both be 0",
        ),
    ],
)
def test_raises_for_bad_noise_in_both_directions(change: dict[str, Any], kind: type[Exception], message: str) -> None:
    arguments = {"alpha": level(0.1), "sigma": level(0.1)} | change
    for function in (anscombe.forward, anscombe.inverse):
        with pytest.raises(kind, match=re.escape(message)):
            function(torch.zeros(2, 1, 3, 3), **arguments)


def test_raises_for_unknown_kinds_of_inverse() -> None:
    with pytest.raises(ValueError, match="kind must be one of 'exact', 'closed_form', 'algebraic'; found 'asymptotic'"):
        anscombe.inverse(row([1.0]), level(0.1), level(0.1), "asymptotic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="clipped is for kind 'exact'; found kind 'algebraic'"):
        anscombe.inverse(row([1.0]), level(0.1), level(0.1), "algebraic", clipped=True)


def test_a_table_made_in_inference_mode_serves_a_backward_pass() -> None:
    alpha, sigma = (torch.full((1, 1, 1, 1), v, dtype=torch.float64) for v in (0.0317, 0.0419))
    signal = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    with torch.inference_mode():
        anscombe.inverse(signal, alpha, sigma, clipped=True)
    signal.requires_grad_()
    anscombe.inverse(signal, alpha, sigma, clipped=True).sum().backward()
    assert signal.grad is not None
    assert (signal.grad > 0).all()
