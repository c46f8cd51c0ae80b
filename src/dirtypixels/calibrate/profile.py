"""What was measured, put into a camera's profile: figures, where they come from, and the record of the measurement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.belonging import capture_file, seen_in
from dirtypixels.calibrate.diagnostics import Diagnostic, verdict
from dirtypixels.calibrate.noise.curve import MeasuredCurve
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.field import MeasuredField
from dirtypixels.camera import Camera, ExposureRule, ProfileFile
from dirtypixels.camera.optics import PsfField, digest_of
from dirtypixels.camera.schema import (
    Calibration,
    Exposure,
    Gain,
    MeasuredLevel,
    MeasuredOptics,
    Noise,
    Optics,
    Record,
    SeenCamera,
    Sensor,
)
from dirtypixels.raw.frames import Frame

ASSUMED_EXPOSURE = (
    "Assumed, not measured: exposed fully at {lux:g} lux and ISO {iso:g}, ISO = {iso:g} x {lux:g} / lux "
    "(Diamond et al. 2017 use 2000 lux and ISO 100)."
)
GIVEN_EXPOSURE = (
    "As given with the calibration: exposed fully at {lux:g} lux and ISO {iso:g}, ISO = {iso:g} x {lux:g} / lux."
)


def record(
    method: str,
    diagnostics: Iterable[Diagnostic],
    frames: Sequence[Frame] = (),
    *,
    camera: SeenCamera | None = None,
    confidence: float | None = None,
    levels: Sequence[MeasuredLevel] = (),
    optics: MeasuredOptics | None = None,
) -> Record:
    """The record of a calibration made now with this version, its verdict taken from the diagnostics.

    Args:
        method: how it was measured, a phrase.
        diagnostics: of the measurement.
        frames: that it was made from; their files, digests and EXIF are kept.
        camera: that the figures are of; None is the one that the frames show.
        confidence: of the intervals.
        levels: the noise, gain by gain and channel by channel.
        optics: the maps of the field's blocks.
    """
    found = tuple(diagnostics)
    passed, reason = verdict(found)
    return Record(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        software=f"dirtypixels {metadata.version('dirtypixels')}",
        method=method,
        passed=passed,
        reason=reason,
        camera=seen_in(frames) if camera is None and frames else camera,
        confidence=confidence,
        diagnostics=found,
        captures=tuple(capture_file(frame) for frame in frames),
        levels=tuple(levels),
        optics=optics,
    )


def noise_record(curve: MeasuredCurve, frames: Sequence[Frame], confidence: float) -> Record:
    """The record of a measured noise curve, level by level."""
    levels = [
        MeasuredLevel(
            iso=iso,
            channel=channel,  # type: ignore[arg-type]
            alpha=estimate.alpha,
            alpha_interval=estimate.alpha_interval,
            sigma=estimate.sigma,
            sigma_interval=estimate.sigma_interval,
            black=estimate.black,
            passed=estimate.passed,
            reason=estimate.reason,
        )
        for (iso, channel), estimate in sorted(curve.estimates.items(), key=lambda item: _place(item[0]))
    ]
    return record(curve.method, curve.diagnostics, frames, confidence=confidence, levels=levels)


def optics_record(field: MeasuredField, chart: BernoulliChart, frames: Sequence[Frame]) -> Record:
    """The record of a measured PSF field, block by block; of a block's colors the worst."""
    maps = MeasuredOptics(
        chart=chart.parameters(),
        alignment_rms_px=max(field.alignment_rms_px),
        trusted=tuple(tuple(bool(ok) for ok in row) for row in field.trusted),
        residual=_worst(field.residual),
        quality=_worst(field.quality),
        psf_sha256=digest_of(field.psfs),
    )
    return record("a chart of Bernoulli noise, least squares in each block", field.diagnostics, frames, optics=maps)


def with_noise(
    camera: Camera | None,
    name: str,
    gains: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
    source: str,
    measured: Record,
    *,
    sensor: Sensor | None = None,
    exposure: ExposureRule | None = None,
) -> Camera:
    """A profile with these noise figures; the lens of one that is there already stays.

    Args:
        camera: the profile to put them into; None for a new one.
        name: of the camera.
        gains: iso (N,), alpha (N,) or (N, 3), sigma likewise, in units of the signal.
        source: where the figures come from.
        measured: the record of their measurement.
        sensor: color filters and levels; None keeps what the profile says.
        exposure: the rule from light to gain; None keeps the profile's, or for a new one assumes the paper's.
    """
    iso, alpha, sigma = (np.asarray(values, dtype=float) for values in gains)
    rows = [Gain(iso=float(i), alpha=_figure(a), sigma=_figure(s)) for i, a, s in zip(iso, alpha, sigma, strict=True)]
    old = None if camera is None else camera.profile
    rule = old.exposure if old is not None and exposure is None else None
    return _with(
        camera,
        name=name,
        noise=Noise(gains=tuple(rows), source=source),
        exposure=rule or _exposure(exposure),
        sensor=sensor or (old.sensor if old else None),
        calibration=Calibration(noise=measured, optics=_records(camera).optics),
    )


def with_optics(
    camera: Camera | None, name: str, field: PsfField, measured: Record, *, sensor: Sensor | None = None
) -> Camera:
    """A profile with this PSF field; the noise of one that is there already stays.

    Args:
        camera: the profile to put it into; None for a new one, which then has no noise.
        name: of the camera.
        field: PSFs over the sensor, with their source.
        measured: the record of their measurement.
        sensor: color filters and levels; they yield to those of noise that was measured. None keeps what the profile
            says.
    """
    rows, columns = field.psfs.shape[:2]
    old = None if camera is None else camera.profile
    noise = _records(camera).noise
    levels_of_noise = old is not None and old.noise is not None and (noise is None or bool(noise.levels))
    kept = old.sensor if old is not None else None
    return _with(
        camera,
        field,
        name=name,
        sensor=(kept or sensor) if levels_of_noise else (sensor or kept),
        optics=Optics(rows=rows, columns=columns, pitch_um=field.pitch_um, source=field.source),
        calibration=Calibration(noise=_records(camera).noise, optics=measured),
    )


def _worst(values: npt.NDArray[np.float64]) -> tuple[tuple[float | None, ...], ...]:
    """(R, C, channels) to rows of the largest of each block; None where a channel has no value."""
    return tuple(tuple(float(v) if np.isfinite(v) else None for v in row) for row in values.max(-1))


def _place(key: tuple[float, str]) -> tuple[float, int]:
    return key[0], "RGBY".index(key[1])


def _with(camera: Camera | None, field: PsfField | None = None, **parts: object) -> Camera:
    old = {} if camera is None else {name: getattr(camera.profile, name) for name in ProfileFile.model_fields}
    lens = field or (None if camera is None else camera.optics)
    profile = ProfileFile.model_validate(old | parts | {"schema_version": 2})
    return Camera(profile, None if lens is None else lens.psfs)


def _records(camera: Camera | None) -> Calibration:
    """The records of a profile; a part that is replaced loses its own."""
    return (None if camera is None else camera.profile.calibration) or Calibration()


def _exposure(rule: ExposureRule | None) -> Exposure:
    lux, iso = rule or ExposureRule()
    text = ASSUMED_EXPOSURE if rule is None else GIVEN_EXPOSURE
    return Exposure(reference_lux=lux, base_iso=iso, source=text.format(lux=lux, iso=iso))


def _figure(value: npt.NDArray[np.float64]) -> float | tuple[float, float, float]:
    if value.size == 1:
        return float(value.reshape(()))
    red, green, blue = value.tolist()
    return red, green, blue
