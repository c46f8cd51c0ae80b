"""Measured figures in a camera's profile: whether they belong there, where they come from, and their record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic, verdict
from dirtypixels.calibrate.noise import MeasuredCurve
from dirtypixels.calibrate.noise.black import BlackLevel
from dirtypixels.calibrate.psf import BernoulliChart, MeasuredField
from dirtypixels.camera import Camera, ExposureRule, NoiseCurve, ProfileFile
from dirtypixels.camera.optics import PsfField, digest_of
from dirtypixels.camera.schema import Calibration, CaptureFile, Record, SeenCamera, Sensor
from dirtypixels.raw.agreement import camera_differences, seen_in
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.levels import alike_within

Part = Literal["noise", "optics"]

_ASSUMED = (
    "Assumed, not measured: exposed fully at {0:g} lux and ISO {1:g}, ISO = {1:g} x {0:g} / lux "
    "(Diamond et al. 2017 use 2000 lux and ISO 100)."
)
_GIVEN = "As given with the calibration: exposed fully at {0:g} lux and ISO {1:g}, ISO = {1:g} x {0:g} / lux."

_HOW = {
    "dark frames": "measured on dark frames",
    "intercept": "extrapolated to no light",
    "given": "as stated, not checked",
}
"""How a black level was found."""


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
    **more: object,
) -> Record:
    """The record of a calibration made now with this version, its verdict taken from the diagnostics.

    Args:
        frames: that it was made from; their files, digests and EXIF are kept.
        camera: that the figures are of; None is the one that the frames show.
        **more: other fields of a `Record`.
    """
    found = tuple(diagnostics)
    passed, reason = verdict(found)
    about = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": f"dirtypixels {metadata.version('dirtypixels')}",
        "method": method,
        "passed": passed,
        "reason": reason,
        "camera": seen_in(frames) if camera is None and frames else camera,
        "diagnostics": found,
        "captures": tuple(map(_capture_file, frames)),
    }
    return Record.model_validate(about | more)


def noise_record(curve: MeasuredCurve, frames: Sequence[Frame], confidence: float) -> Record:
    """The record of a measured noise curve, level by level."""
    kept = ("alpha", "alpha_interval", "sigma", "sigma_interval", "black", "passed", "reason")
    levels = [
        {"iso": iso, "channel": channel} | {name: getattr(curve.estimates[iso, channel], name) for name in kept}
        for iso, channel in sorted(curve.estimates, key=lambda key: (key[0], "RGBY".index(key[1])))
    ]
    return record(curve.method, curve.diagnostics, frames, confidence=confidence, levels=levels)


def optics_record(field: MeasuredField, chart: BernoulliChart, frames: Sequence[Frame]) -> Record:
    """The record of a measured PSF field, block by block; of a block's colors the worst."""
    maps = {
        "chart": chart.parameters(),
        "alignment_rms_px": max(field.alignment_rms_px),
        "trusted": field.trusted.tolist(),
        "residual": _worst(field.residual),
        "quality": _worst(field.quality),
        "psf_sha256": digest_of(field.psfs),
    }
    return record("a chart of Bernoulli noise, least squares in each block", field.diagnostics, frames, optics=maps)


def _worst(values: npt.NDArray[np.float64]) -> list[list[float | None]]:
    """(R, C, channels) to rows of the largest of each block; None where a channel has no value."""
    return [[v if np.isfinite(v) else None for v in row] for row in values.max(-1).tolist()]


def _capture_file(frame: Frame) -> CaptureFile:
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
        part: that the new figures replace.
        named: whether the profile is given a name by hand: then captures may call the camera as they like.

    Raises:
        ValueError: they differ; the message names both and everything in which they differ.
    """
    found: list[str] = []
    for of, kept in _records(camera):
        if kept is None:
            continue
        differences = camera_differences(kept.camera or SeenCamera(), seen)
        if not named and "camera" in differences:
            found.append("the camera's name {!r} and {!r}, which name= overrules".format(*differences["camera"]))
        if of != part:
            texts = {"cfa": "the cfa {} and {}", "size": "frames of {} and {} pixels"}
            found += [text.format(*differences[what]) for what, text in texts.items() if what in differences]
            found += _level_differences(kept.captures, [_capture_file(frame) for frame in frames])
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
        black: measured black levels by (ISO, plane); None takes what the frames state.
    """
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
    source = f"Black level {how}{dark_note}. White level as stated{white_note}."
    return Sensor(cfa=frames[0].cfa, black_level=dark, white_level=white, source=source)  # type: ignore[arg-type]


def _how(level: BlackLevel) -> str:
    if level.given is None or level.source == "given":
        return _HOW[level.source]
    if level.doubted:
        return "as stated, which the exposures do not confirm"
    if level.value == level.given:
        return f"as stated, confirmed by {'exposures' if level.source == 'intercept' else level.source}"
    return f"{_HOW[level.source]}, though {level.given:g} DN is stated"


def _one_level(of_gain: Mapping[float, Sequence[float]], agree: float) -> tuple[float, str]:
    """The level of all gains, or of the lowest where they differ by more than `agree`; and what is to be said of it."""
    means = {iso: float(np.mean(levels)) for iso, levels in of_gain.items()}
    lowest = min(means)
    by_level = sorted(means, key=lambda iso: means[iso])
    least, most = by_level[0], by_level[-1]
    level, note = float(np.mean(list(means.values()))), ""
    if means[most] - means[least] > agree:
        level = means[lowest]
        note = (
            f", that of ISO {lowest:g}, as it differs between gains: {means[least]:g} DN at ISO {least:g}, "
            f"{means[most]:g} DN at ISO {most:g}"
        )
    colors = of_gain[lowest]
    if max(colors) - min(colors) > agree:
        note += f", the mean of its colors' {min(colors):g} to {max(colors):g} DN"
    return level, note


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
        curve: the camera's `noise` is this curve with the profile's exposure rule.
        sensor: color filters and levels; None keeps what the profile says.
        exposure: the rule from light to gain; None keeps the profile's, or for a new one assumes the paper's.
    """
    figures = zip(curve.iso.tolist(), curve.alpha.tolist(), curve.sigma.tolist(), strict=True)
    old = None if camera is None else camera.profile
    if exposure is None and old is not None and old.exposure is not None:
        rule = old.exposure.model_dump()
    else:
        lux, base_iso = exposure or ExposureRule()
        text = (_ASSUMED if exposure is None else _GIVEN).format(lux, base_iso)
        rule = {"reference_lux": lux, "base_iso": base_iso, "source": text}
    noise_curve = copy(curve)
    noise_curve.exposure = ExposureRule(rule["reference_lux"], rule["base_iso"])
    return _with(
        camera,
        noise_curve,
        name=name,
        noise={
            "gains": [dict(zip(("iso", "alpha", "sigma"), each, strict=True)) for each in figures],
            "source": source,
        },
        exposure=rule,
        sensor=sensor or (old.sensor if old else None),
        calibration=Calibration(noise=measured, optics=_records(camera).optics),
    )


def with_optics(
    camera: Camera | None, name: str, field: PsfField, measured: Record, *, sensor: Sensor | None = None
) -> Camera:
    """A profile with this PSF field; the noise of one that is there already stays.

    Args:
        sensor: color filters and levels; they yield to those of noise that was measured. None keeps what the profile
            says.
    """
    old = None if camera is None else camera.profile
    noise, kept = _records(camera).noise, old.sensor if old else None
    levels_of_noise = old is not None and old.noise is not None and (noise is None or bool(noise.levels))
    rows, columns = field.psfs.shape[:2]
    return _with(
        camera,
        field=field,
        name=name,
        sensor=(kept or sensor) if levels_of_noise else (sensor or kept),
        optics={"rows": rows, "columns": columns, "pitch_um": field.pitch_um, "source": field.source},
        calibration=Calibration(noise=noise, optics=measured),
    )


def _with(
    camera: Camera | None, curve: NoiseCurve | None = None, field: PsfField | None = None, **parts: Any
) -> Camera:
    """The profile with these parts in place of its own, and with the new curve or field."""
    old: dict[str, Any] = {} if camera is None else dict(camera.profile)
    if camera is not None:
        curve = curve or (camera.noise if camera.has_noise else None)
        field = field or camera.optics
    return Camera(ProfileFile.model_validate(old | parts | {"schema_version": 2}), noise=curve, optics=field)


def _records(camera: Camera | None) -> Calibration:
    """The records of a profile; a part that is replaced loses its own."""
    return (None if camera is None else camera.profile.calibration) or Calibration()
