"""Solvers on several scales."""

from __future__ import annotations

import pytest
import torch

from dirtypixels.observation import Observation
from dirtypixels.restore import CoarseToFine, Deblurrer, Denoiser, UnrolledHQS
from dirtypixels.restore.border import make_periodic
from dirtypixels.restore.scales import double, halve
from dirtypixels.restore.terms import Gaussian
from tests.restore.iterating import random


class TestBands:
    def test_halve_is_the_low_pass_band_of_the_wavelet(self) -> None:
        """Against PyWavelets' periodic sym4, whose band starts three pixels earlier."""
        pywt = pytest.importorskip("pywt")
        x = random(16, 12)
        expected = pywt.dwt2(torch.roll(x, (-3, -3), (0, 1)).numpy(), "sym4", mode="periodization")[0]
        torch.testing.assert_close(halve(x[None, None])[0, 0], torch.from_numpy(expected), rtol=0, atol=1e-10)

    @pytest.mark.parametrize("size", [(8, 6), (4, 16), (2, 2)])
    def test_halve_and_double_are_adjoint_and_inverse(self, size: tuple[int, int]) -> None:
        if min(size) >= 6:
            x, low = random(2, 3, *size), random(2, 3, size[0] // 2, size[1] // 2, seed=1)
            torch.testing.assert_close((halve(x) * low).sum(), (x * double(low)).sum(), rtol=1e-10, atol=1e-10)
        low = random(1, 1, 8, 10)
        torch.testing.assert_close(halve(double(low)), low, rtol=0, atol=1e-10)


class TestCoarseToFine:
    def test_solvers_that_change_nothing_leave_the_image(self) -> None:
        class Keeps(UnrolledHQS):
            def forward(self, y, noise=None, start=None):  # type: ignore[no-untyped-def]
                return y.y

        y = random(1, 3, 13, 18)
        torch.testing.assert_close(CoarseToFine([Keeps(), Keeps(), Keeps()])(y), y, rtol=0, atol=1e-12)

    def test_one_scale_is_the_solver(self) -> None:
        solver, y = UnrolledHQS(color="opponent").double(), random(2, 3, 13, 18)
        torch.testing.assert_close(CoarseToFine([solver])(y), solver(y), rtol=0, atol=1e-12)

    def test_follows_its_equation(self) -> None:
        fine, coarse = UnrolledHQS().double(), UnrolledHQS(layers=2).double()
        for p in (*fine.parameters(), *coarse.parameters()):
            p.data += 0.05 * random(1, *p.shape, seed=3)[0]
        y = random(1, 1, 16, 16)
        whole = make_periodic(y, 32)
        low = halve(whole)
        given = whole + double(coarse(Gaussian(low)) - low)
        expected = fine(Gaussian(given))[..., :16, :16]
        made = CoarseToFine([fine, coarse])
        assert made.gap == 32
        torch.testing.assert_close(made(y), expected, rtol=0, atol=1e-12)

    def test_images_do_not_depend_on_their_batch(self) -> None:
        solver, y = CoarseToFine([UnrolledHQS(color="opponent"), UnrolledHQS(color="opponent")]), random(2, 3, 9, 11)
        both = solver(y.float())
        torch.testing.assert_close(both[1:], solver(y[1:].float()), rtol=0, atol=1e-5)

    def test_gradients(self) -> None:
        solver = CoarseToFine([UnrolledHQS(filter_size=3), UnrolledHQS(filter_size=3)]).double()
        y = random(1, 1, 4, 5).requires_grad_()
        assert torch.autograd.gradcheck(solver, (y,))

    def test_raises(self) -> None:
        with pytest.raises(ValueError, match="x must be even and at least 6 high and wide; found 8 x 4"):
            halve(random(1, 1, 8, 4))
        with pytest.raises(TypeError, match="solver must be Unrolled, on one scale, to deblur; found CoarseToFine"):
            Deblurrer(CoarseToFine([UnrolledHQS()]))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="number of solvers must be at least 1; found 0"):
            CoarseToFine([])
        with pytest.raises(ValueError, match="y must be an image with a sample at every pixel for several scales"):
            CoarseToFine([UnrolledHQS()])(Gaussian(random(1, 1, 8, 8)))
        with pytest.raises(ValueError, match=r"y must have shape \(B, C, H, W\)"):
            CoarseToFine([UnrolledHQS()])(random(8, 8))
        cfa = (random(1, 3, 16, 16) > 0).float()
        obs = Observation(torch.rand(1, 3, 16, 16), torch.full((1, 1, 1, 1), 0.1), torch.zeros(1, 1, 1, 1), cfa=cfa)
        with pytest.raises(ValueError, match="missing samples and blur take one scale"):
            Denoiser(CoarseToFine([UnrolledHQS(), UnrolledHQS()]))(obs)
