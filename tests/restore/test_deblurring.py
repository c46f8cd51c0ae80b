"""Deblurring: the unit, the classical solver, and what both share at the border and in Fourier space."""

import pytest
import torch

from dirtypixels import Observation
from dirtypixels.blur import Blur, transfer_function
from dirtypixels.camera import Camera, disk_psf, gaussian_psf, motion_psf
from dirtypixels.data import natural_patches
from dirtypixels.data.pictures import list_pictures, read_picture
from dirtypixels.restore import Deblurrer, UnrolledHQS, classical
from dirtypixels.restore.algorithms import HQS
from dirtypixels.restore.border import continue_blurred, wiener_filter
from dirtypixels.restore.filters import analyze, dct_filters, gradient_filters, synthesize
from dirtypixels.restore.prox import PointwiseCNN, SoftThreshold
from dirtypixels.restore.terms import Gaussian
from dirtypixels.train import psnr


def observe(scene, psf, sigma=0.02, alpha=0.0, seed=0, beyond="mirror"):
    blurred = Blur(psf, beyond).forward(scene)
    noise = torch.randn(blurred.shape, generator=torch.Generator().manual_seed(seed), dtype=blurred.dtype)
    signal = blurred + (alpha * blurred.clamp_min(0) + sigma**2) ** 0.5 * noise
    alphas, sigmas = (torch.full((len(scene), 1, 1, 1), v, dtype=scene.dtype) for v in (alpha, sigma))
    return Observation(signal, alphas, sigmas, psf)


@pytest.fixture(scope="module")
def scenes():
    return natural_patches(4, 64, gray=False, seed=3)


EVERY_WEIGHTING = ("none", "image", "pixel", "pixel_exact")
EVERY_UNIT = [(color, weighting) for color in ("merged", "shared") for weighting in EVERY_WEIGHTING]


class TestExactInverse:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("size", [(9, 8), (8, 9)])
    def test_layer_solves_its_normal_equations(self, channels, size):
        """Against a dense solve of (lambda A^T A + beta C^T C) x = lambda A^T y + beta C^T z, channel by channel."""
        torch.manual_seed(0)
        filters = dct_filters(3).double()
        layer = HQS(SoftThreshold(0.3), filters, beta=1.7, color="merged").double()
        with torch.no_grad():
            layer.log_lambda.fill_(0.4)
        psf = torch.rand(1, channels, 3, 5, dtype=torch.float64)
        psf /= psf.sum((-2, -1), keepdim=True)
        x, y = torch.randn(2, 1, channels, *size, dtype=torch.float64)
        otf = transfer_function(psf, size)
        found = layer(layer.start(x), Gaussian(y, otf)).x
        weight, beta = layer.log_lambda.exp(), layer.log_beta.exp()
        z = SoftThreshold(0.3)(analyze(x.sum(1, keepdim=True), filters), beta) / channels
        pulled = synthesize(z, filters)
        pixels = torch.eye(size[0] * size[1], dtype=torch.float64).reshape(-1, 1, *size)
        energy = synthesize(analyze(pixels, filters), filters).flatten(1).T
        for c in range(channels):
            blur = Blur(psf[:, c : c + 1], "circular")
            gram = blur.adjoint(blur.forward(pixels)).flatten(1).T
            right = weight * blur.adjoint(y[:, c : c + 1]).flatten() + beta * pulled.flatten()
            expected = torch.linalg.solve(weight * gram + beta * energy, right)
            torch.testing.assert_close(found[0, c].flatten(), expected.detach(), rtol=1e-9, atol=1e-9)

    def test_wiener_filter_is_the_regularized_inverse(self):
        psf = gaussian_psf(1.0)[None].double()
        variance = torch.full((1, 1, 1, 1), 0.01, dtype=torch.float64)
        y = torch.randn(1, 1, 8, 9, dtype=torch.float64)
        otf = transfer_function(psf, (8, 9))
        found = torch.fft.irfft2(wiener_filter(otf, variance, (8, 9)) * torch.fft.rfft2(y), s=(8, 9))
        pixels = torch.eye(72, dtype=torch.float64).reshape(-1, 1, 8, 9)
        blur, gradient = Blur(psf, "circular"), gradient_filters().double()
        gram = blur.adjoint(blur.forward(pixels)).flatten(1).T
        energy = synthesize(analyze(pixels, gradient), gradient).flatten(1).T
        expected = torch.linalg.solve(gram + 0.01 / 0.1**2 * energy, blur.adjoint(y).flatten())
        torch.testing.assert_close(found.flatten(), expected)


class TestBorder:
    @pytest.mark.parametrize("size", [(40, 41), (41, 40)])
    @pytest.mark.parametrize("psf", [disk_psf(3.0), motion_psf(9.0, 30.0)], ids=["disk", "motion"])
    def test_frame_is_kept_and_the_rest_is_large_enough(self, size, psf):
        y = torch.rand(2, 3, *size)
        full, _ = continue_blurred(y, psf[None], torch.full((2, 3, 1, 1), 1e-4))
        torch.testing.assert_close(full[..., : size[0], : size[1]], y, rtol=0, atol=0)
        assert full.shape[-2] >= size[0] + psf.shape[-2] - 1
        assert full.shape[-1] >= size[1] + psf.shape[-1] - 1

    def test_passes_take_the_ringing_away(self, scenes):
        """What lies beyond the frame is unknown: the more it agrees with a blurred scene, the less rings inside."""
        psf = motion_psf(11.0, 20.0)[None]
        half = psf.shape[-1] // 2, psf.shape[-2] // 2
        obs = observe(scenes, psf, sigma=1e-3, beyond="crop")
        clean = scenes[..., half[1] : 64 - half[1], half[0] : 64 - half[0]]
        errors = []
        for passes in (0, 4, 32):
            image = classical.hqs_deconvolution(obs, "tv", 0.5, passes=passes)
            errors.append(float((image - clean).square().mean()))
        assert errors[1] < 0.8 * errors[0]
        assert errors[2] < 0.8 * errors[1]


class TestDeblurrer:
    @pytest.mark.parametrize(("color", "weighting"), EVERY_UNIT)
    def test_improves_a_blurred_and_noisy_capture_before_any_training(self, scenes, color, weighting):
        obs = observe(scenes, disk_psf(2.5)[None], sigma=0.08, alpha=0.01)
        torch.manual_seed(0)
        unit = Deblurrer(UnrolledHQS(color=color), weighting=weighting)
        with torch.no_grad():
            gain = psnr(unit(obs), scenes) - psnr(obs.signal, scenes)
        assert float(gain.mean()) > 0.5

    @pytest.mark.parametrize(("color", "weighting"), EVERY_UNIT)
    def test_one_capture_does_not_see_the_others(self, scenes, color, weighting):
        torch.manual_seed(0)
        unit = Deblurrer(UnrolledHQS(2, color=color), weighting=weighting)
        with torch.no_grad():
            obs = observe(scenes[:2], disk_psf(2.0)[None], sigma=0.05, alpha=0.01)
            together = unit(obs)
            alone = torch.cat([unit(obs[i]) for i in range(2)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("psfs", [(1, 1), (1, 3), (2, 1), (2, 3)])
    @pytest.mark.parametrize("size", [(33, 40), (40, 33)])
    def test_shapes(self, psfs, size):
        psf = disk_psf(2.0).expand(*psfs, -1, -1)
        obs = observe(torch.rand(2, 3, *size), psf)
        assert Deblurrer()(obs).shape == (2, 3, *size)

    def test_each_capture_is_deblurred_by_its_own_psf(self, scenes):
        psfs = torch.cat([motion_psf(7.0, 0.0)[None], motion_psf(7.0, 90.0)[None]])
        obs = observe(scenes[:2], psfs, sigma=0.005)
        image = classical.hqs_deconvolution(obs, "tv", 2.0)
        swapped = Observation(obs.signal, obs.alpha, obs.sigma, psfs.flip(0))
        wrong = classical.hqs_deconvolution(swapped, "tv", 2.0)
        assert bool((psnr(image, scenes[:2]) > psnr(wrong, scenes[:2]) + 3).all())

    @pytest.mark.parametrize(("color", "weighting"), EVERY_UNIT)
    def test_gradcheck(self, color, weighting):
        torch.manual_seed(0)
        solver = UnrolledHQS(filter_size=3, prox=lambda k: PointwiseCNN(k, 4), color=color).double()
        unit = Deblurrer(solver, weighting=weighting, passes=1).double()
        with torch.no_grad():
            for bias in solver.iterations[0].prox.biases:
                bias.normal_(0, 0.1)  # away from the kinks that biases of 0 put dark places on
        psf = gaussian_psf(0.4)[None].double()
        alpha, sigma = (torch.full((1, 1, 1, 1), v, dtype=torch.float64) for v in (0.02, 0.1))
        names, values = zip(*unit.named_parameters(), strict=True)

        def restore(signal, *parameters):
            obs = Observation(signal, alpha, sigma, psf)
            return torch.func.functional_call(unit, dict(zip(names, parameters, strict=True)), (obs,))

        signal = (0.2 + 0.6 * torch.rand(1, 3, 5, 6, dtype=torch.float64)).requires_grad_()
        assert torch.autograd.gradcheck(restore, (signal, *values), fast_mode=True)

    def test_forward_leaves_the_module_and_the_observation_as_they_were(self, scenes):
        obs = observe(scenes, disk_psf(2.0)[None])
        unit = Deblurrer()
        before = {name: value.clone() for name, value in unit.state_dict().items()}
        signal, psf = obs.signal.clone(), obs.psf.clone()
        unit(obs)
        assert all(torch.equal(value, before[name]) for name, value in unit.state_dict().items())
        assert torch.equal(obs.signal, signal)
        assert torch.equal(obs.psf, psf)

    def test_raises_for_what_it_cannot_deblur(self, scenes):
        obs = observe(scenes, disk_psf(2.0)[None])
        with pytest.raises(TypeError, match="obs must be an Observation"):
            Deblurrer()(obs.signal)
        with pytest.raises(ValueError, match="must have a psf"):
            Deblurrer()(Observation(obs.signal, obs.alpha, obs.sigma))
        holes = torch.ones_like(obs.signal)
        holes[..., ::2, ::2] = 0
        with pytest.raises(ValueError, match="every sample measured"):
            Deblurrer()(Observation(obs.signal, obs.alpha, obs.sigma, obs.psf, holes))
        with pytest.raises(ValueError, match="weighting must be"):
            Deblurrer(weighting="variance")
        with pytest.raises(ValueError, match="passes must be"):
            Deblurrer(passes=-1)
        with pytest.raises(ValueError, match="color must be"):
            UnrolledHQS(color="lab")


class TestHqsDeconvolution:
    @pytest.mark.parametrize("prior", ["tv", "hyper_laplacian"])
    def test_beats_the_capture_and_the_wiener_filter(self, scenes, prior):
        psf = disk_psf(2.5)[None]
        obs = observe(scenes, psf, sigma=0.02)
        with torch.no_grad():
            otf = transfer_function(psf, (64, 64))
            wiener = torch.fft.irfft2(
                wiener_filter(otf, torch.full((4, 3, 1, 1), 4e-4), (64, 64)) * torch.fft.rfft2(obs.signal), s=(64, 64)
            )
        image = classical.hqs_deconvolution(obs, prior, 4.0)
        assert float((psnr(image, scenes) - psnr(obs.signal, scenes)).mean()) > 1
        assert float((psnr(image, scenes) - psnr(wiener.clamp(0, 1), scenes)).mean()) > 0.3

    def test_gives_a_picture_without_gradients(self, scenes):
        obs = observe(scenes, disk_psf(2.0)[None])
        image = classical.hqs_deconvolution(obs)
        assert image.shape == obs.signal.shape
        assert not image.requires_grad
        assert 0 <= float(image.min()) <= float(image.max()) <= 1

    def test_raises_for_what_it_cannot_deblur(self, scenes):
        obs = observe(scenes, disk_psf(2.0)[None])
        for arguments, said in (
            ({"prior": "l0"}, "prior must be"),
            ({"strength": 0.0}, "strength must be above 0"),
            ({"iterations": 0}, "iterations must be"),
            ({"passes": -1}, "passes must be"),
        ):
            with pytest.raises(ValueError, match=said):
                classical.hqs_deconvolution(obs, **arguments)
        with pytest.raises(ValueError, match="must have a psf"):
            classical.hqs_deconvolution(Observation(obs.signal, obs.alpha, obs.sigma))


def test_a_noise_free_off_axis_capture_comes_back(shared_data):
    """Over 35 dB on BSDS300, two PSF widths away from the border; the whole is in benchmarks/deblurring.py."""
    camera = Camera.load("nexus-6p-rear")
    psf = camera.psf("offaxis")
    cut = 2 * max(psf.shape[-2:])
    for path in list_pictures(shared_data / "bsds300" / "test")[:4]:
        picture = read_picture(path)[None]
        obs = camera.capture(picture, torch.inf, "offaxis", beyond="crop")
        half = psf.shape[-2] // 2, psf.shape[-1] // 2
        clean = picture[..., half[0] : picture.shape[-2] - half[0], half[1] : picture.shape[-1] - half[1]]
        image = classical.hqs_deconvolution(obs, "tv", 0.001, passes=50)
        inside = (slice(None), slice(None), slice(cut, -cut), slice(cut, -cut))
        assert float(psnr(image[inside], clean[inside])) > 35
