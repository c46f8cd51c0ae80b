"""Captures to a camera: noise from flat fields, the lens from a chart, or what somebody else measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Unpack, get_args

from dirtypixels import checks
from dirtypixels.calibrate import imports
from dirtypixels.calibrate.imports import ImportedCurve
from dirtypixels.calibrate.noise import noise_curve, single_image_curve
from dirtypixels.calibrate.profile import (
    check_belongs,
    noise_record,
    optics_record,
    record,
    sensor_of,
    with_noise,
    with_optics,
)
from dirtypixels.calibrate.psf import BernoulliChart, psf_field, read_chart
from dirtypixels.camera import Camera, ExposureRule
from dirtypixels.camera.schema import SeenCamera
from dirtypixels.raw.agreement import check_same_camera, seen_in
from dirtypixels.raw.folders import read_frames
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.levels import check_levels
from dirtypixels.raw.mosaic import check_mosaic
from dirtypixels.raw.reading import Overrides, checked_overrides

Captures = str | Path | Sequence[str | Path] | Sequence[Frame]
Method = Literal["pairs", "single-image", "tag"]
Progress = Callable[[str, int, int], object]

_OF_NO_USE: dict[str, tuple[str, ...]] = {
    "pairs": (),
    "single-image": ("dark_frames",),
    "tag": ("dark_frames", "confidence", "black", "white", "cfa", "exposure_s", "camera"),
}


def measure_noise(
    captures: Captures,
    *,
    method: Method = "pairs",
    dark_frames: Captures | None = None,
    into: Camera | None = None,
    name: str | None = None,
    unnamed: str = "unnamed",
    confidence: float | None = None,
    exposure: ExposureRule | None = None,
    progress: Progress | None = None,
    **known: Unpack[Overrides],
) -> Camera:
    """A camera with the noise that captures show, for each gain and color channel, and the record of how it was found.

    ``variance = alpha mean + sigma^2`` before clipping

    Its `noise` is the `MeasuredCurve`, with estimates, intervals and diagnostics; `noise.passed` and `noise.reason` say
    whether to trust it, and `plot_residuals(camera.noise, path)` shows why.

    Args:
        captures: a folder or files (see `read_frames`), or frames. Dark frames may lie among them.
        method: "pairs" takes two or more frames of each exposure and gain (`noise_curve`), "single-image" one raw
            photograph of anything for each gain (`single_image_curve`), "tag" the NoiseProfile of DNGs
            (`imports.noise_profile`).
        dark_frames: taken with the lens cap on, at any exposure time.
        into: a camera whose lens stays, and whose noise this replaces; it must be the same camera.
        name: of the camera; None takes that of `into`, else that which the captures state.
        unnamed: its name where neither does.
        confidence: of the intervals, in (0, 1); 0.95 if None.
        exposure: the rule from light to gain, which captures do not tell; None keeps that of `into`, or assumes that
            the camera exposes fully at 2000 lux and ISO 100.
        progress: called with what is done now ("reading", "measuring"), how much of it is done, and of how much.
        **known: what is known better than the files say it, see `read_frame`.

    Returns:
        The camera, to be looked at and saved.

    Raises:
        TypeError: captures are something else.
        FileNotFoundError: there are none.
        ValueError: captures cannot be what they state, are not of one camera, or not of that in `into`; they are too
            few for the method; or an argument is out of range or of no use for the method.

    >>> import numpy as np
    >>> from dirtypixels.raw import Frame
    >>> rng = np.random.default_rng(0)
    >>> def flat_field(light):  # of a sensor with black level 64, white level 1023 and alpha 1 / 1000
    ...     values = 64 + 0.959 * rng.poisson(1000 * light, (96, 96)) + rng.normal(0, 2, (96, 96))
    ...     return Frame(np.rint(values).astype(np.uint16), None, (64,) * 4, 1023, iso=100, exposure_s=light)
    >>> camera = measure_noise([flat_field(light) for light in (0.0, 0.1, 0.3, 0.6) for _ in range(2)], name="mine")
    >>> camera.name, camera.noise.passed, round(float(camera.noise.alpha[0]), 4)
    ('mine', True, 0.001)
    """
    checks.one_of("method", method, get_args(Method))
    given = {**known, "dark_frames": dark_frames, "confidence": confidence}
    if wrong := [f"{option}=" for option in _OF_NO_USE[method] if given.get(option) is not None]:
        raise ValueError(f'method="{method}" has no use for {" and ".join(wrong)}: leave it out')
    if method == "tag":
        found = imports.noise_profile(captures, iso=known.get("iso"))  # type: ignore[arg-type]
        return import_noise(found, into=into, name=name, unnamed=unnamed, exposure=exposure)
    dark = [] if dark_frames is None else _frames(dark_frames, progress, black_stated=False, **known)
    frames = _frames(captures, progress, black_stated=method != "pairs", **known)
    apart = {frame.path.resolve() for frame in dark if frame.path}  # dark ones may lie among the others
    frames = [frame for frame in frames if frame.path is None or frame.path.resolve() not in apart]
    every = [*frames, *dark]
    check_same_camera(every, levels_may_follow_iso=True)
    seen = seen_in(every)
    check_belongs(into, "noise", seen, every, named=name is not None)
    level = 0.95 if confidence is None else confidence
    report = _of_step("measuring", progress)
    if method == "pairs":
        curve = noise_curve(frames, dark_frames=dark or None, confidence=level, progress=report)
    else:
        curve = single_image_curve(frames, confidence=level, progress=report)
    return with_noise(
        into,
        _name(name, into, seen, unnamed),
        curve,
        f"Measured from {len(every)} captures, {curve.method}. {curve.rule[0].upper()}{curve.rule[1:]}.",
        noise_record(curve, every, level),
        sensor=sensor_of(every, curve.black),
        exposure=exposure,
    )


def measure_optics(
    captures: Captures,
    chart: BernoulliChart | str | Path,
    *,
    into: Camera | None = None,
    name: str | None = None,
    unnamed: str = "unnamed",
    pitch_um: float | None = None,
    size: int | None = None,
    blocks: tuple[int, int] | None = None,
    partial: bool = False,
    progress: Progress | None = None,
    **known: Unpack[Overrides],
) -> Camera:
    """A camera with the lens that captures of a chart show, and the record of how it was found.

    Its `optics` is the `MeasuredField`, with the blocks, their errors and diagnostics; `optics.passed` and
    `optics.reason` say whether to trust it, and `plot_quality(camera.optics, path)` shows why.

    Args:
        captures: a folder or files (see `read_frames`), or frames, of the chart as large as it fits into the frame.
        chart: that was photographed, or its file.
        into: a camera whose noise stays, and whose lens this replaces; it must be the same camera.
        name: of the camera; None takes that of `into`, else that which the captures state.
        unnamed: its name where neither does.
        pitch_um, size, blocks, partial: see `psf_field`.
        progress: called with what is done now ("reading", "measuring"), how much of it is done, and of how much.
        **known: what is known better than the files say it, see `read_frame`.

    Returns:
        The camera, to be looked at and saved.

    Raises:
        TypeError: captures are something else.
        FileNotFoundError: there are none, or no chart.
        ValueError: captures cannot be what they state, are not of one camera and lens, or not of that in `into`; the
            chart cannot be used; or an argument is out of range.
        RuntimeError: OpenCV is not installed.

    >>> camera = measure_optics("chart/", "chart.pdf", into=camera, pitch_um=1.55)  # doctest: +SKIP
    >>> camera.save("my-camera")  # doctest: +SKIP
    """
    if not isinstance(chart, BernoulliChart):
        if not Path(chart).is_file():
            raise FileNotFoundError(
                f"chart must be a file that `dirtypixels chart` wrote; found nothing at {str(chart)!r}"
            )
        chart = read_chart(chart)
    frames = _frames(captures, progress, black_stated=True, **known)
    seen = seen_in(frames)
    check_belongs(into, "optics", seen, frames, named=name is not None)
    field = psf_field(
        frames,
        chart,
        pitch_um=pitch_um,
        size=size,
        blocks=blocks,
        partial=partial,
        progress=_of_step("measuring", progress),
    )
    measured = optics_record(field, chart, frames)
    return with_optics(into, _name(name, into, seen, unnamed), field, measured, sensor=sensor_of(frames))


def import_noise(
    found: ImportedCurve,
    *,
    into: Camera | None = None,
    name: str | None = None,
    unnamed: str = "unnamed",
    exposure: ExposureRule | None = None,
) -> Camera:
    """A camera with noise that somebody else measured; its record says that nothing was checked here.

    Args:
        found: as `imports.darktable`, `imports.eld` or `imports.noise_profile` give it.
        into, name, unnamed, exposure: as for `measure_noise`.

    Raises:
        ValueError: the figures are of another camera than `into`.

    >>> from dirtypixels.calibrate.imports import ImportedCurve
    >>> found = ImportedCurve("Maker One", [100, 200], [1e-4, 2e-4], [1e-3, 2e-3], "A page on the web.")
    >>> import_noise(found)
    Camera('Maker One', ImportedCurve(2 gains, ISO 100 to 200))
    """
    seen = SeenCamera(name=found.name)
    check_belongs(into, "noise", seen, named=name is not None)
    measured = record("imported, not measured here", found.diagnostics, camera=seen)
    return with_noise(into, _name(name, into, seen, unnamed), found, found.source, measured, exposure=exposure)


def _frames(
    captures: Captures, progress: Progress | None, *, black_stated: bool, **known: Unpack[Overrides]
) -> list[Frame]:
    """Frames whose levels and colors can be what they state; where `black_stated` is not needed, it may be unknown."""
    given: list[Any] = [captures] if isinstance(captures, str | Path) else list(captures)
    if given and all(isinstance(one, Frame) for one in given):
        frames = [replace(frame, **checked_overrides(known)) for frame in given]
    else:
        frames = read_frames(given, _of_step("reading", progress), **known)
    check_same_camera(frames, levels_may_follow_iso=True)
    check_mosaic(frames)
    check_levels(frame for frame in frames if frame.black is not None or black_stated)
    return frames


def _of_step(step: str, progress: Progress | None) -> Callable[[int, int], object] | None:
    return None if progress is None else lambda done, total: progress(step, done, total)


def _name(given: str | None, into: Camera | None, seen: SeenCamera, otherwise: str) -> str:
    return given or (into.name if into else None) or seen.name or otherwise
