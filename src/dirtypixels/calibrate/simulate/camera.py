"""A simulated camera with everything known, that photographs charts and flat fields."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from dirtypixels import checks
from dirtypixels.blur import FieldBlur
from dirtypixels.calibrate.simulate.geometry import CellIntegral, Pose, View, pixel_corners
from dirtypixels.calibrate.simulate.sensor import Sensor, channel_of
from dirtypixels.camera import Camera, NoiseLevel, ProfileFile
from dirtypixels.raw.frames import Frame

Floats = npt.NDArray[np.float64]

_ROWS_AT_ONCE = 64  # bounds the memory of the area integration


class Chart(Protocol):
    """What a chart is to a camera: a pattern of flat cells, 0 black and 1 white."""

    @property
    def pattern(self) -> npt.NDArray[Any]: ...


class ChartCamera:
    """A camera to try a calibration on, and to evaluate it against what went in.

    ``DN = sensor(vignetting * (psf * pixels(chart)))``: the chart's light is integrated over each pixel's area exactly,
    blurred by the lens at the distance of the pixels, darkened towards the corners, and measured (see `Sensor`).

    Args:
        camera: noise curve and PSF field; a profile without optics has a sharp lens. The PSFs' samples are taken to be
            one pixel apart, whatever the profile's pitch.
        height, width: of the frame, in pixels; even where there is a cfa.
        cfa, bits, black, white, prnu, hot, seed: see `Sensor`; black is by default 2^bits / 16.
        focal, distortion: of the lens, see `View`.
        vignetting: part of the light that is lost in the frame's corners, in [0, 1); it falls off as cos^4.
        color: the light that red, green and blue pixels collect, relative to green.

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
        levels = 2**bits / 16 if black is None else black
        if not 0 <= vignetting < 1:
            raise ValueError(f"vignetting must be in [0, 1); found {vignetting}")
        self.sensor = Sensor(
            height, width, cfa=cfa, bits=bits, black=levels, white=white, prnu=prnu, hot=hot, seed=seed
        )
        self.camera, self.height, self.width = camera, height, width
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
        surround: float = 0.3,
        snr_db: float | None = None,
        exposure_s: float = 1 / 60,
    ) -> Frame:
        """Photograph a chart.

        Args:
            chart: its `pattern` (rows, columns) of cells, 0 black and 1 white.
            iso: gain, > 0.
            generator: random generator; None for torch's own.
            pose: how the chart stands; None for `Pose()`.
            exposure: signal of a reflectance of 1 in the frame's center.
            paper: reflectances of black and of white.
            surround: reflectance of everything around the chart.
            snr_db: in place of the noise at `iso`, see `noise`.
            exposure_s: what the frame says of its exposure time.

        Raises:
            ValueError: a figure is out of range.
        """
        light = self.render(chart, pose, exposure=exposure, paper=paper, surround=surround)
        level = self.noise(iso, snr_db, exposure=exposure, paper=paper)
        return self.expose(light, iso, generator, noise=level, exposure_s=exposure_s)

    def render(
        self,
        chart: Chart,
        pose: Pose | None = None,
        *,
        exposure: float = 1.0,
        paper: tuple[float, float] = (0.04, 0.85),
        surround: float = 0.3,
    ) -> Floats:
        """The light of a chart on the sensor, (H, W), mosaicked, without noise; arguments as for `photograph`."""
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
        for channel in {channel_of(name) for name in self.sensor.planes()}:
            blurred = self._blurred(sharp, channel)
            for name, where in self.sensor.planes().items():
                if channel_of(name) == channel:
                    light[where] = blurred[where]
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
        values = self.sensor.digitize(light, self.noise(iso) if noise is None else noise, generator)
        return Frame(
            values,
            cfa=self.sensor.cfa,
            black=self.sensor.black,
            white=self.sensor.white,
            iso=float(iso),
            exposure_s=exposure_s,
            camera=self.camera.name,
        )

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
        alpha, sigma = (float(np.broadcast_to(np.asarray(v), (3,))[1]) for v in level)
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
        down, across = (
            _node_weights(range(size)[part], size, nodes)
            for part, size, nodes in ((rows, self.height, len(self._psfs)), (columns, self.width, self._psfs.shape[1]))
        )
        return np.asarray(np.einsum("r,c,rckij->kij", down, across, self._psfs.double().numpy()))

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
        for name, where in self.sensor.planes().items():
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


def _node_weights(pixels: range, size: int, nodes: int) -> Floats:
    """Mean weight of each node of a field over some of its frame's pixels, by linear interpolation."""
    if not pixels:
        raise ValueError("rows and columns must hold at least one pixel")
    at = (np.asarray(pixels) + 0.5) / size * (nodes - 1)
    return np.asarray(np.maximum(0.0, 1 - np.abs(at - np.arange(nodes)[:, None])).mean(1))


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
    if camera is None:
        camera = example_camera()
    profile = camera if isinstance(camera, Camera) else Camera.load(camera)
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
