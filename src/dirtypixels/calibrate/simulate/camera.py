"""A simulated camera with everything known, that photographs charts and flat fields."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from dirtypixels import checks
from dirtypixels.blur import FieldBlur
from dirtypixels.calibrate.simulate.geometry import CellIntegral, Pose, View, pixel_corners
from dirtypixels.camera import Camera, NoiseLevel, ProfileFile
from dirtypixels.raw.frames import CFA_PATTERNS, Frame, plane_slices

Floats = npt.NDArray[np.float64]

_ROWS_AT_ONCE = 64  # bounds the memory of the area integration


class Chart(Protocol):
    """What a chart is to a camera: a pattern of flat cells, 0 black and 1 white."""

    @property
    def pattern(self) -> npt.NDArray[Any]: ...


class ChartCamera:
    """A camera to try a calibration on, and to evaluate it against what went in.

    ``DN = sensor(vignetting * (psf * pixels(chart)))``: the chart's light is integrated over each pixel's area exactly,
    blurred by the lens at the distance of the pixels, darkened towards the corners, and measured (see `digitize`).

    Args:
        camera: noise curve and PSF field; a profile without optics has a sharp lens. The PSFs' samples are taken to be
            one pixel apart, whatever the profile's pitch.
        height, width: of the frame, in pixels; even where there is a cfa.
        cfa: colors of the top left 2 x 2 pixels in reading order; None for a monochrome sensor.
        bits: of a digital number, 1 to 16.
        black: black level in DN, one number or the four places of the 2 x 2 pattern in reading order; None for
            2^bits / 16.
        white: DN at which the sensor saturates; None for the largest of `bits`.
        focal, distortion: of the lens, see `View`.
        vignetting: part of the light that is lost in the frame's corners, in [0, 1); it falls off as cos^4.
        color: the light that red, green and blue pixels collect, relative to green.
        prnu: standard deviation of the pixels' gains around 1.
        hot: part of the pixels that are hot, in [0, 1]; a hot pixel adds a signal of its own, evenly spread over
            [0.05, 1], to the light of every frame.
        seed: of the gains and the hot pixels.

    Raises:
        ValueError: a figure is out of range.
    """

    def __init__(
        self,
        camera: Camera,
        height: int,
        width: int,
        *,
        cfa: str | None = "RGGB",
        bits: int = 12,
        black: float | tuple[float, float, float, float] | None = None,
        white: float | None = None,
        focal: float = 1.0,
        distortion: tuple[float, float] = (0.0, 0.0),
        vignetting: float = 0.0,
        color: tuple[float, float, float] = (1.0, 1.0, 1.0),
        prnu: float = 0.0,
        hot: float = 0.0,
        seed: int = 0,
    ) -> None:
        if len(color) != 3 or not all(math.isfinite(c) and c > 0 for c in color):
            raise ValueError(f"color must be three numbers above 0; found {color}")
        if not 0 <= vignetting < 1:
            raise ValueError(f"vignetting must be in [0, 1); found {vignetting}")
        checks.one_of("cfa", cfa, (*CFA_PATTERNS, None))
        step = 1 if cfa is None else 2
        if min(height, width) < 2 or height % step or width % step:
            raise ValueError(f"height and width must be at least 2, and even with a cfa; found {height} x {width}")
        if not 1 <= bits <= 16:
            raise ValueError(f"bits must be from 1 to 16; found {bits}")
        checks.in_range("prnu", prnu, 0.0, 0.3)
        checks.in_range("hot", hot, 0.0, 1.0)
        self.white = float(2**bits - 1 if white is None else white)
        levels = np.broadcast_to(np.asarray(2**bits / 16 if black is None else black, dtype=float), (4,)).tolist()
        self.black: tuple[float, float, float, float] = tuple(levels)  # type: ignore[assignment]
        if cfa is None and len(set(levels)) > 1:
            raise ValueError(f"black must be one number for a monochrome sensor; found {black}")
        if not 0 <= min(levels) <= max(levels) < self.white <= 2**bits - 1:
            raise ValueError(
                f"black must be at least 0 and below white, which is at most {2**bits - 1}; "
                f"found black {black}, white {self.white:g}"
            )
        self.camera, self.height, self.width = camera, height, width
        self.cfa, self.bits, self.prnu, self.hot, self.seed = cfa, bits, prnu, hot, seed
        self.focal, self.distortion, self.color, self.vignetting = focal, distortion, color, vignetting
        self._psfs = None if camera.optics is None else camera.optics.psfs

    def flat(
        self,
        light: float,
        iso: float,
        exposure_s: float = 1.0,
        generator: torch.Generator | None = None,
        *,
        gradient: tuple[float, float] = (0.0, 0.0),
    ) -> Frame:
        """Photograph an even light; a dark frame where the light or the exposure is 0.

        ``signal = light * exposure_s * iso / 100 * vignetting * (1 + gradient)`` on average

        Args:
            light: signal that a second at ISO 100 collects in the frame's center, white level 1; >= 0. A lamp that
                drifts has another one in every frame.
            iso: gain, > 0.
            exposure_s: exposure time in seconds, >= 0.
            generator: random generator; None for torch's own.
            gradient: (x, y) by how much of itself the light grows from the center to the right and to the lower edge.

        Raises:
            ValueError: a figure is out of range, or the gradient makes light negative.
        """
        checks.in_range("light", light, low=0.0)
        checks.in_range("exposure_s", exposure_s, low=0.0)
        x, y = np.linspace(-1, 1, self.width), np.linspace(-1, 1, self.height)[:, None]
        slope = 1 + gradient[0] * x + gradient[1] * y
        if slope.min() < 0:
            raise ValueError(f"gradient must leave the light at 0 or above; found {gradient}")
        level = light * exposure_s * iso / 100
        return self.expose(self.colored(level * slope * self.falloff()), iso, generator, exposure_s=exposure_s)

    def photograph(
        self,
        chart: Chart,
        iso: float = 100.0,
        generator: torch.Generator | None = None,
        *,
        pose: Pose | None = None,
        exposure: float = 1.0,
        paper: tuple[float, float] = (0.04, 0.85),
        snr_db: float | None = None,
    ) -> Frame:
        """Photograph a chart.

        Args:
            chart: its `pattern` (rows, columns) of cells, 0 black and 1 white.
            iso: gain, > 0.
            generator: random generator; None for torch's own.
            pose: how the chart stands; None for `Pose()`.
            exposure: signal of a reflectance of 1 in the frame's center.
            paper: reflectances of black and of white.
            snr_db: in place of the noise at `iso`, see `noise`.


        Raises:
            ValueError: a figure is out of range.
        """
        light = self.render(chart, pose, exposure=exposure, paper=paper)
        level = self.noise(iso, snr_db, exposure=exposure, paper=paper)
        return self.expose(light, iso, generator, noise=level, exposure_s=1 / 60)

    def render(
        self,
        chart: Chart,
        pose: Pose | None = None,
        *,
        exposure: float = 1.0,
        paper: tuple[float, float] = (0.04, 0.85),
        surround: float = 0.3,
    ) -> Floats:
        """The light of a chart on the sensor, (H, W), mosaicked, without noise.

        Arguments as for `photograph`; surround is the reflectance of everything around the chart.
        """
        for name, value in (("exposure", exposure), ("paper", paper[0]), ("paper", paper[1]), ("surround", surround)):
            checks.in_range(name, value, low=0.0)
        pattern = np.asarray(chart.pattern, dtype=np.float64)
        view = self.view(chart, pose)
        cells = CellIntegral(paper[0] + (paper[1] - paper[0]) * pattern, surround)
        # Rows and columns beyond each border of the frame whose light comes into it.
        above, aside = (0, 0) if self._psfs is None else (side // 2 for side in self._psfs.shape[-2:])
        columns = range(-aside, self.width + aside)
        # Single precision: its rounding is a thousandth of a 16-bit step, and Fourier transforms take half the time.
        sharp = np.empty((self.height + 2 * above, len(columns)), dtype=np.float32)
        for start in range(-above, self.height + above, _ROWS_AT_ONCE):
            rows = range(start, min(start + _ROWS_AT_ONCE, self.height + above))
            sharp[rows.start + above : rows.stop + above] = cells.means(view.to_chart(pixel_corners(rows, columns)))
        light = np.empty((self.height, self.width))
        blurred = {channel: self._blurred(sharp, channel) for channel in map(channel_of, self.planes())}
        for name, where in self.planes().items():
            light[where] = blurred[channel_of(name)][where]
        light *= exposure * self.falloff()
        return self.colored(light)

    def expose(
        self,
        light: Floats,
        iso: float,
        generator: torch.Generator | None = None,
        *,
        noise: NoiseLevel | None = None,
        exposure_s: float | None = None,
    ) -> Frame:
        """Measure light (H, W), mosaicked, white level 1, with the noise at `iso` or the one given."""
        values = self.digitize(light, self.noise(iso) if noise is None else noise, generator)
        cfa, black, white = self.cfa, self.black, self.white
        return Frame(values, cfa, black, white, iso=float(iso), exposure_s=exposure_s, camera=self.camera.name)

    def noise(
        self,
        iso: float,
        snr_db: float | None = None,
        *,
        exposure: float = 1.0,
        paper: tuple[float, float] = (0.04, 0.85),
    ) -> NoiseLevel:
        """The true noise, floats or (3,) for red, green and blue, without that of rounding, 1/12 DN^2.

        ``SNR = 20 log10((white - black) / sd),  sd^2 = alpha mean + sigma^2`` of green at the chart's mean, in the
        frame's center. To have it, the variance of the curve at `iso` is scaled, as by averaging frames.

        Args:
            iso: gain, > 0.
            snr_db: of the chart, in decibel; None for the curve's own.
            exposure, paper: see `photograph`.

        Raises:
            ValueError: iso is not above 0; or snr_db is not finite, or the camera has no noise to scale.
        """
        if not (math.isfinite(iso) and iso > 0):
            raise ValueError(f"iso must be finite and above 0; found {iso}")
        level = self.camera.noise.at_iso(float(iso))
        if snr_db is None:
            return level
        checks.in_range("snr_db", snr_db)
        alpha, sigma = (of_channel(figure, "G") for figure in level)
        variance = alpha * exposure * self.color[1] * sum(paper) / 2 + sigma**2
        if variance <= 0:
            raise ValueError(f"snr_db needs a camera with noise; camera {self.camera.name!r} has none at ISO {iso:g}")
        wanted = exposure * self.color[1] * (paper[1] - paper[0]) / 10 ** (snr_db / 20)
        return NoiseLevel(level.alpha * (wanted**2 / variance), level.sigma * (wanted / math.sqrt(variance)))

    def view(self, chart: Chart, pose: Pose | None = None) -> View:
        """The true mapping between a chart's cells and the frame's pixels."""
        rows, columns = np.asarray(chart.pattern).shape
        return View((rows, columns), (self.height, self.width), pose or Pose(), self.focal, self.distortion)

    def psf_over(self, rows: slice, columns: slice) -> Floats:
        """The true PSF over a block of pixels, (C, kh, kw): the mean of its pixels' PSFs.

        Raises:
            ValueError: the lens is sharp, or the block is empty.
        """
        if self._psfs is None:
            raise ValueError("this camera has no PSF field: its lens is sharp")
        weights = []  # of each node of the field, by linear interpolation
        for part, size, nodes in zip((rows, columns), (self.height, self.width), self._psfs.shape[:2], strict=True):
            if not (pixels := range(size)[part]):
                raise ValueError("rows and columns must hold at least one pixel")
            at = (np.asarray(pixels) + 0.5) / size * (nodes - 1)
            weights.append(np.maximum(0.0, 1 - np.abs(at - np.arange(nodes)[:, None])).mean(1))
        return np.asarray(np.einsum("r,c,rckij->kij", *weights, self._psfs.double().numpy()))

    def planes(self) -> dict[str, tuple[slice, slice]]:
        """Where each plane's samples lie, by the names of `Frame.planes`."""
        return plane_slices(self.cfa)

    def black_of(self, plane: str) -> float:
        rows, columns = self.planes()[plane]
        return self.black[2 * (rows.start or 0) + (columns.start or 0)]

    def digitize(self, light: Floats, noise: NoiseLevel, generator: torch.Generator | None = None) -> npt.NDArray[Any]:
        """Measure light.

        ``DN = clip(round(black + (white - black) s), 0, white),  s = alpha Poisson(light / alpha) + N(0, sigma^2)``

        The dark side is limited at DN 0, that is at a signal of -black / (white - black), not at 0.

        Args:
            light: (H, W), white level 1, >= 0.
            noise: alpha and sigma in units of the signal, numbers or (3,) for red, green and blue; a monochrome sensor
                has the noise of green.
            generator: random generator; None for torch's own.

        Returns:
            (H, W) uint16.

        Source: Foi et al. 2008, eq. 1; Foi 2009 (clipping).
        """
        if light.shape != (self.height, self.width):
            raise ValueError(f"light must have shape ({self.height}, {self.width}); found {light.shape}")
        checks.in_range("light", torch.from_numpy(light), low=0.0)
        values = np.empty(light.shape, dtype=np.uint16)
        for name, where in self.planes().items():
            alpha, sigma = (of_channel(figure, name) for figure in noise)
            rate = torch.from_numpy(light[where] * self.gains[where] + self.dark[where])
            shot = alpha * torch.poisson(rate / alpha, generator=generator) if alpha > 0 else rate
            signal = shot + sigma * torch.randn(rate.shape, dtype=rate.dtype, generator=generator)
            black = self.black_of(name)
            values[where] = (black + (self.white - black) * signal).round_().clamp_(0, self.white).numpy()
        return values

    @cached_property
    def gains(self) -> Floats:
        """(H, W), the pixels' gains: 1 on average, standard deviation `prnu`."""
        drawn = np.random.default_rng((self.seed, 0)).standard_normal((self.height, self.width))
        return np.asarray(np.maximum(1 + self.prnu * drawn, 0.0))

    @cached_property
    def dark(self) -> Floats:
        """(H, W), what a pixel adds to the light: 0, but for hot pixels."""
        found = np.zeros(self.height * self.width)
        draw = np.random.default_rng((self.seed, 1))
        count = math.ceil(self.hot * found.size)
        found[draw.choice(found.size, count, replace=False)] = draw.uniform(0.05, 1.0, count)
        return found.reshape(self.height, self.width)

    def falloff(self) -> Floats:
        """(H, W), the light that vignetting leaves: 1 in the center.

        ``cos^4 = (1 + t^2 r^2)^-2``, r the distance from the center in half diagonals, t such that the corner loses as
        much as `vignetting` says
        """
        t2 = (1 - self.vignetting) ** -0.5 - 1
        unit = math.hypot(self.height, self.width) / 2
        y = (np.arange(self.height)[:, None] - (self.height - 1) / 2) / unit
        x = (np.arange(self.width) - (self.width - 1) / 2) / unit
        return np.asarray((1 + t2 * (x**2 + y**2)) ** -2)

    def colored(self, light: Floats) -> Floats:
        """Light (H, W) as the sensor's colors collect it."""
        found = np.array(light, dtype=np.float64)
        for name, where in self.planes().items():
            found[where] *= self.color[channel_of(name)]
        return found

    def _blurred(self, sharp: npt.NDArray[np.float32], channel: int) -> npt.NDArray[np.float32]:
        """What red, green or blue (0, 1, 2) sees of a sharp frame half a PSF larger on every side: (H, W)."""
        if self._psfs is None:
            return sharp
        at = channel if self._psfs.shape[2] == 3 else 0
        blur = FieldBlur(self._psfs[:, :, at : at + 1].float(), "crop")
        found = blur.forward(torch.from_numpy(sharp)[None, None])[0, 0].numpy()
        # Fourier transforms round: what was at least 0 before a blur is at least 0 afterwards, but for their errors.
        return np.asarray(np.maximum(found, 0.0, out=found))


def of_channel(figure: Any, plane: str) -> float:
    """A plane's figure: the one number, or of (3,) its color's; green's where there is no color."""
    return float(np.broadcast_to(np.asarray(figure, dtype=float), (3,))[channel_of(plane)])


def channel_of(plane: str) -> int:
    """The color channel of a plane: 0, 1, 2 for red, green, blue; a gray scene is seen in green."""
    return {"R": 0, "G": 1, "B": 2, "Y": 1}[plane[0]]


def realistic_camera(
    camera: Camera | str | Path | None = None, height: int = 480, width: int = 640, **known: Any
) -> ChartCamera:
    """A camera with the faults that real ones have: a barrel, dark corners, colors unlike, pixels that differ.

    Args:
        camera: a profile, or its name or path; None for `example_camera()`. Its noise and its lens are what a
            calibration should find, and so are cfa and levels where it describes the sensor; otherwise RGGB, 12 bits,
            black at 256.
        height, width: of the frame, in pixels.
        **known: what else should hold, as arguments of `ChartCamera`.

    Raises:
        ValueError: there is no such profile, it has no noise figures, or an argument is out of range.
    """
    profile = example_camera() if camera is None else camera if isinstance(camera, Camera) else Camera.load(camera)
    faults: dict[str, Any] = {
        "distortion": (-0.04, 0.01),
        "vignetting": 0.3,
        "color": (0.6, 1.0, 0.75),
        "prnu": 0.005,
        "hot": 2e-5,
    }
    if (sensor := profile.profile.sensor) is not None:
        faults |= {
            "cfa": sensor.cfa,
            "bits": int(sensor.white_level).bit_length(),
            "black": max(sensor.black_level, 0.0),  # below 0 it is that of a real sensor, clipped at 0
            "white": sensor.white_level,
        }
    return ChartCamera(profile, height, width, **(faults | known))


def example_camera() -> Camera:
    """A camera that exists nowhere: 12 bits, RGGB, noise of its own in each color, a lens that gets worse outwards.

    ``alpha = a iso,  sigma^2 = b^2 + (c iso)^2``, other factors for red, green and blue; the part of the read noise
    that gain does not amplify keeps sigma from being proportional to ISO, as in real sensors. A PSF is a Gaussian and
    one displaced outwards (coma), both longer along the radius and wider in blue; red lies outside, blue inside
    (lateral color). They grow over the frame, whatever its size, to a standard deviation of 1.5 px in its corners.
    """
    gains = []
    for iso in (50.0 * 2**stop for stop in range(8)):
        alpha = tuple(factor * 1.2e-4 * iso / 100 for factor in (1.04, 1.0, 0.97))
        sigma = tuple(factor * math.hypot(4e-4, 3.5e-4 * iso / 100) for factor in (1.05, 1.0, 1.0))
        gains.append({"iso": iso, "alpha": alpha, "sigma": sigma})
    source = "Made up for simulated calibrations (dirtypixels.calibrate.simulate); no such camera exists."
    profile = ProfileFile.model_validate(
        {
            "schema_version": 2,
            "name": "simulated",
            "noise": {"gains": gains, "source": source},
            "exposure": {"reference_lux": 2000.0, "base_iso": 100.0, "source": source},
            "sensor": {"cfa": "RGGB", "black_level": 256.0, "white_level": 4095.0, "source": source},
            "optics": {"rows": 7, "columns": 9, "pitch_um": 2.0, "source": source},
        }
    )
    psfs = [[_example_psfs(u, v) for u in np.linspace(-0.8, 0.8, 9)] for v in np.linspace(-0.6, 0.6, 7)]
    return Camera(profile, torch.from_numpy(np.array(psfs, dtype=np.float32)))


def _example_psfs(u: float, v: float) -> Floats:
    """(3, 15, 15) at a place (x, y) in half diagonals of the frame; the centroid of green is in the middle."""
    radius = math.hypot(u, v)
    outwards = (u / radius, v / radius) if radius else (1.0, 0.0)
    y, x = np.mgrid[-7:8, -7:8].astype(float)
    tail, jump = 0.25 * radius, 1.2 * radius
    found = []
    for shift, wider in ((0.3 * radius, 1.0), (0.0, 1.0), (-0.25 * radius, 1.15)):
        along, across = wider * (0.6 + 0.7 * radius**2), wider * (0.6 + 0.4 * radius**2)
        psf = np.zeros_like(x)
        for weight, center in ((1 - tail, -tail * jump), (tail, (1 - tail) * jump)):
            r = x * outwards[0] + y * outwards[1] - center - shift
            t = y * outwards[0] - x * outwards[1]
            spot = np.exp(-0.5 * ((r / along) ** 2 + (t / across) ** 2))
            psf += weight * spot / spot.sum()
        found.append(psf / psf.sum())
    return np.array(found)
