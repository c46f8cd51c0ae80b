"""Measured figures in a camera's profile: whether they belong there, where they come from, and their record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime
from importlib import metadata
from typing import Literal

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic, verdict
from dirtypixels.calibrate.noise import MeasuredCurve
from dirtypixels.calibrate.noise.black import BlackLevel
from dirtypixels.calibrate.psf import BernoulliChart, MeasuredField
from dirtypixels.camera import Camera, ExposureRule, NoiseCurve, ProfileFile
from dirtypixels.camera.optics import PsfField, digest_of
from dirtypixels.camera.schema import (
    Calibration,
    CaptureFile,
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
from dirtypixels.raw.agreement import camera_differences, seen_in
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.levels import alike_within

Part = Literal["noise", "optics"]

ASSUMED_EXPOSURE = (
    "Assumed, not measured: exposed fully at {lux:g} lux and ISO {iso:g}, ISO = {iso:g} x {lux:g} / lux "
    "(Diamond et al. 2017 use 2000 lux and ISO 100)."
)
GIVEN_EXPOSURE = (
    "As given with the calibration: exposed fully at {lux:g} lux and ISO {iso:g}, ISO = {iso:g} x {lux:g} / lux."
)

_MEASURED = {
    "dark frames": "measured on dark frames",
    "intercept": "extrapolated to no light",
    "given": "as stated, not checked",
}
_CONFIRMED = {"dark frames": "as stated, confirmed by dark frames", "intercept": "as stated, confirmed by exposures"}


class ImportedCurve(NoiseCurve):
    """A `NoiseCurve` of somebody else, with where it comes from and what is to be known of it.

    Args:
        name: the camera, as the source names it; None where it does not.
        iso: (N,) gains, > 0, increasing.
        alpha: (N,), (N, 1) or (N, 3) Poisson scale, in units of the signal; 3 are red, green, blue.
        sigma: Gaussian standard deviation, likewise.
        source: what was read, how it was measured and what was made of it, for the profile.
        diagnostics: what was left out or cannot be trusted.

    Raises:
        ValueError: as `NoiseCurve`.

    >>> found = ImportedCurve("Maker One", [100, 200], [1e-4, 2e-4], [1e-3, 2e-3], "A page on the web.")
    >>> found.at_iso(400).alpha
    0.0004
    """

    def __init__(
        self,
        name: str | None,
        iso: npt.ArrayLike,
        alpha: npt.ArrayLike,
        sigma: npt.ArrayLike,
        source: str,
        diagnostics: tuple[Diagnostic, ...] = (),
    ) -> None:
        super().__init__(iso, alpha, sigma)
        self.name, self.source, self.diagnostics = name, source, diagnostics


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


def capture_file(frame: Frame) -> CaptureFile:
    """What a record keeps of a frame."""
    return CaptureFile(
        file="unnamed" if frame.path is None else frame.path.name,
        sha256=frame.sha256 or "not from a file",
        iso=frame.iso,
        exposure_s=frame.exposure_s,
        black=None if frame.black is None else float(np.mean(frame.black)),
        white=frame.white,
        exif=frame.exif,
    )


def check_belongs(
    camera: Camera | None, part: Part, seen: SeenCamera, frames: Sequence[Frame] = (), *, named: bool = False
) -> None:
    """Raise where new figures are of another camera than those that a profile holds already.

    Names are compared with both parts' records. Colors, size, and the levels at gains that both have, with those of
    the other part, which stays. What one of them does not know is no difference.

    Args:
        camera: the profile; None for a new one.
        part: that the new figures replace.
        seen: the camera that they are of.
        frames: that they come from.
        named: whether the profile is given a name by hand: then captures may call the camera as they like.

    Raises:
        ValueError: they differ; the message names both and everything in which they differ.
    """
    records = {} if camera is None or camera.profile.calibration is None else dict(camera.profile.calibration)
    found: list[str] = []
    for of, record in records.items():
        if record is None:
            continue
        differences = camera_differences(record.camera or SeenCamera(), seen)
        if not named and "camera" in differences:
            found.append("the camera's name {!r} and {!r}, which name= overrules".format(*differences["camera"]))
        if of == part:
            continue
        if "cfa" in differences:
            found.append("the cfa {} and {}".format(*differences["cfa"]))
        if "size" in differences:
            found.append("frames of {} and {} pixels".format(*differences["size"]))
        found += _level_differences(record.captures, [capture_file(frame) for frame in frames])
    if found:
        raise ValueError(
            f"into must be the profile of the camera that the new {part} is of; found, in the profile and new: "
            f"{'; '.join(dict.fromkeys(found))}"
        )


def _level_differences(before: Sequence[CaptureFile], new: Sequence[CaptureFile]) -> list[str]:
    """Levels stated at one gain that differ; cameras may have other levels at another one."""
    found = []
    old_of, new_of = ({capture.iso: capture for capture in reversed(each)} for each in (before, new))
    for iso in sorted(old_of.keys() & new_of.keys(), key=lambda gain: gain or 0.0):
        pair = old_of[iso], new_of[iso]
        agree = alike_within(max((one.white for one in pair if one.white is not None), default=np.inf))
        for name in ("black", "white"):
            one, two = (getattr(capture, name) for capture in pair)
            if one is not None and two is not None and abs(one - two) > agree:
                where = "" if iso is None else f" at ISO {iso:g}"
                found.append(f"{name} levels of {one:g} and {two:g} DN{where}")
    return found


def sensor_of(frames: Sequence[Frame], black: Mapping[tuple[float, str], BlackLevel] | None = None) -> Sensor | None:
    """The sensor that frames of one camera describe; None where its levels are not known.

    One level is written for all gains. Where they have different ones, it is that of the lowest gain, as the source
    then says; a mean would be the level of none.

    Args:
        frames: at least one.
        black: measured black levels by (ISO, plane); None takes what the frames state.
    """
    first = frames[0]
    if black:
        levels: dict[float, list[float]] = {}
        for (iso, _), level in sorted(black.items()):
            levels.setdefault(iso, []).append(level.value)
        how = ", or ".join(sorted({_how(level) for level in black.values()}))
    else:
        levels = {f.iso or 0.0: list(f.black) for f in reversed(frames) if f.black is not None}
        how = "as stated"
    whites = {f.iso or 0.0: [f.white] for f in reversed(frames) if f.white is not None}
    if not levels or not whites:
        return None
    agree = alike_within(max(each[0] for each in whites.values()))
    dark, dark_note = _one_level(levels, agree)
    white, white_note = _one_level(whites, agree)
    return Sensor.model_validate(
        {
            "cfa": first.cfa,
            "black_level": dark,
            "white_level": white,
            "source": f"Black level {how}{dark_note}. White level as stated{white_note}.",
        }
    )


def _how(level: BlackLevel) -> str:
    """How a black level was found, a phrase."""
    if level.given is None or level.source == "given":
        return _MEASURED[level.source]
    if level.doubted:
        return "as stated, which the exposures do not confirm"
    if level.value == level.given:
        return _CONFIRMED[level.source]
    return f"{_MEASURED[level.source]}, though {level.given:g} DN is stated"


def _one_level(of_gain: Mapping[float, Sequence[float]], agree: float) -> tuple[float, str]:
    """The level of all gains, or of the lowest where they differ by more than `agree`; and what is to be said of it."""
    means = {iso: float(np.mean(levels)) for iso, levels in of_gain.items()}
    least, most = min(means, key=lambda iso: means[iso]), max(means, key=lambda iso: means[iso])
    lowest = min(means)
    notes = []
    level = float(np.mean(list(means.values())))
    if means[most] - means[least] > agree:
        level = means[lowest]
        notes.append(
            f"that of ISO {lowest:g}, as it differs between gains: {means[least]:g} DN at ISO {least:g}, "
            f"{means[most]:g} DN at ISO {most:g}"
        )
    colors = of_gain[lowest]
    if max(colors) - min(colors) > agree:
        notes.append(f"the mean of its colors' {min(colors):g} to {max(colors):g} DN")
    return level, "".join(f", {note}" for note in notes)


def with_noise(
    camera: Camera | None,
    name: str,
    curve: NoiseCurve,
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
        curve: alpha and sigma over gain; the camera's `noise` is this curve with the profile's exposure rule.
        source: where the figures come from.
        measured: the record of their measurement.
        sensor: color filters and levels; None keeps what the profile says.
        exposure: the rule from light to gain; None keeps the profile's, or for a new one assumes the paper's.
    """
    rows = zip(curve.iso.tolist(), curve.alpha.tolist(), curve.sigma.tolist(), strict=True)
    gains = tuple(Gain(iso=iso, alpha=_figure(alpha), sigma=_figure(sigma)) for iso, alpha, sigma in rows)
    old = None if camera is None else camera.profile
    kept = old.exposure if old is not None and exposure is None else None
    rule = kept or _exposure(exposure)
    noise = copy(curve)
    noise.exposure = ExposureRule(rule.reference_lux, rule.base_iso)
    return _with(
        camera,
        noise,
        None,
        name=name,
        noise=Noise(gains=gains, source=source),
        exposure=rule,
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
        field: PSFs over the sensor, with their source; the camera's `optics`.
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
        None,
        field,
        name=name,
        sensor=(kept or sensor) if levels_of_noise else (sensor or kept),
        optics=Optics(rows=rows, columns=columns, pitch_um=field.pitch_um, source=field.source),
        calibration=Calibration(noise=noise, optics=measured),
    )


def _worst(values: npt.NDArray[np.float64]) -> tuple[tuple[float | None, ...], ...]:
    """(R, C, channels) to rows of the largest of each block; None where a channel has no value."""
    return tuple(tuple(float(v) if np.isfinite(v) else None for v in row) for row in values.max(-1))


def _place(key: tuple[float, str]) -> tuple[float, int]:
    return key[0], "RGBY".index(key[1])


def _with(camera: Camera | None, curve: NoiseCurve | None, field: PsfField | None, **parts: object) -> Camera:
    """The profile with these parts in place of its own, and with the new curve or field."""
    old: dict[str, object] = {}
    if camera is not None:
        old = {name: getattr(camera.profile, name) for name in ProfileFile.model_fields}
        curve = curve or (camera.noise if camera.has_noise else None)
        field = field or camera.optics
    return Camera(ProfileFile.model_validate(old | parts | {"schema_version": 2}), noise=curve, optics=field)


def _records(camera: Camera | None) -> Calibration:
    """The records of a profile; a part that is replaced loses its own."""
    return (None if camera is None else camera.profile.calibration) or Calibration()


def _exposure(rule: ExposureRule | None) -> Exposure:
    lux, iso = rule or ExposureRule()
    text = ASSUMED_EXPOSURE if rule is None else GIVEN_EXPOSURE
    return Exposure(reference_lux=lux, base_iso=iso, source=text.format(lux=lux, iso=iso))


def _figure(value: float | list[float]) -> float | tuple[float, float, float]:
    if isinstance(value, float):
        return value
    red, green, blue = value
    return red, green, blue
