"""What `camera.json` holds, and the rules that it keeps."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator
from pydantic.dataclasses import dataclass

Severity = Literal["note", "warning", "failure"]
Text = Annotated[str, Field(min_length=1)]
AtLeast0 = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Interval = tuple[Finite, Finite]
Cfa = Literal["RGGB", "BGGR", "GRBG", "GBRG"]


def _iso_date(value: str) -> str:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"must be a date as in ISO 8601, 2026-01-31T12:00:00+00:00; found {value!r}") from None
    return value


Date = Annotated[str, AfterValidator(_iso_date)]


def _shape_of(value: Any) -> str:
    return "channels" if isinstance(value, list | tuple) else "number"


#: one figure for all channels, or one each for red, green and blue
PerChannel = Annotated[
    Annotated[AtLeast0, Tag("number")] | Annotated[tuple[AtLeast0, AtLeast0, AtLeast0], Tag("channels")],
    Discriminator(_shape_of),
]


class Part(BaseModel):
    """A part of the file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Gain(Part):
    """Noise at one calibrated gain, in units of the signal."""

    iso: Above0
    alpha: PerChannel
    sigma: PerChannel


class Noise(Part):
    """Noise over gain."""

    gains: tuple[Gain, ...] = Field(min_length=1)
    source: Text

    @model_validator(mode="after")
    def _channels_alike(self) -> Noise:
        kinds = {_shape_of(value) for gain in self.gains for value in (gain.alpha, gain.sigma)}
        if len(kinds) > 1:
            raise ValueError("alpha and sigma must be one number, or three, at every gain alike; found both")
        return self


class Exposure(Part):
    """The rule from light to gain."""

    reference_lux: Above0
    base_iso: Above0
    source: Text


class Sensor(Part):
    """How light becomes digital numbers."""

    cfa: Cfa | None = None
    #: below 0 where the sensor's files cut off what lies under their number 0
    black_level: Finite
    white_level: Above0
    source: Text

    @model_validator(mode="after")
    def _levels_in_order(self) -> Sensor:
        if self.black_level >= self.white_level:
            raise ValueError(f"black_level must be below white_level {self.white_level:g}; found {self.black_level:g}")
        return self


class Optics(Part):
    """The grid of `psf.npz`: nodes spread evenly over the frame, corners included."""

    rows: int = Field(ge=2)
    columns: int = Field(ge=2)
    pitch_um: Above0 | None = None
    source: Text


@dataclass(frozen=True)
class Diagnostic:
    """What a calibration found out about itself; `dirtypixels.calibrate.diagnostics` has the kinds."""

    kind: Text
    severity: Severity
    message: Text


class SeenCamera(Part):
    """The camera as captures, or somebody else's figures, name and show it; None is unknown."""

    name: Text | None = None
    cfa: Cfa | Literal["mono"] | None = None
    width: Annotated[int, Field(ge=1)] | None = None
    height: Annotated[int, Field(ge=1)] | None = None


class CaptureFile(Part):
    """A file that a calibration was made from, and what it stated; black is the mean of its colors."""

    file: Text
    sha256: Text
    iso: Above0 | None = None
    exposure_s: AtLeast0 | None = None
    black: Finite | None = None
    white: Finite | None = None
    exif: dict[str, str] = {}


class MeasuredLevel(Part):
    """One gain and channel as it was estimated; alpha and sigma in units of the signal, black in digital numbers."""

    iso: Above0
    channel: Literal["R", "G", "B", "Y"]
    alpha: AtLeast0
    alpha_interval: Interval
    sigma: AtLeast0
    sigma_interval: Interval
    black: Finite
    passed: bool
    reason: Text

    @model_validator(mode="after")
    def _values_within_intervals(self) -> MeasuredLevel:
        for name in ("alpha", "sigma"):
            value, (low, high) = getattr(self, name), getattr(self, f"{name}_interval")
            if not low <= value <= high:
                raise ValueError(f"{name}_interval must hold {name} {value:g}; found [{low:g}, {high:g}]")
        return self


class MeasuredOptics(Part):
    """How far each block of the field can be trusted: (rows, columns) of blocks in reading order."""

    chart: dict[str, Any]
    alignment_rms_px: AtLeast0
    trusted: tuple[tuple[bool, ...], ...] = Field(min_length=1)
    #: rms of measured less fitted, in units of the noise expected
    residual: tuple[tuple[Finite | None, ...], ...] = Field(min_length=1)
    #: predicted relative error of the PSF, l2
    quality: tuple[tuple[Finite | None, ...], ...] = Field(min_length=1)
    #: digest of the PSFs that were measured, see `optics.digest_of`
    psf_sha256: Text | None = None

    @model_validator(mode="after")
    def _maps_alike(self) -> MeasuredOptics:
        shapes = {
            name: [len(row) for row in rows]
            for name, rows in (("trusted", self.trusted), ("residual", self.residual), ("quality", self.quality))
        }
        if len({tuple(shape) for shape in shapes.values()}) > 1 or len(set(shapes["trusted"])) > 1:
            raise ValueError(f"trusted, residual and quality must be maps of one shape; found rows of {shapes}")
        return self


class Record(Part):
    """One calibration: when, with what, from which files, and whether to trust it."""

    date: Date
    software: Text
    method: Text
    passed: bool
    reason: Text
    camera: SeenCamera | None = None
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    captures: tuple[CaptureFile, ...] = ()
    levels: tuple[MeasuredLevel, ...] = ()
    optics: MeasuredOptics | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_before(cls, content: Any) -> Any:
        """Profiles measured before diagnostics had this name call them findings."""
        if isinstance(content, dict) and "findings" in content:
            return {"diagnostics" if key == "findings" else key: value for key, value in content.items()}
        return content

    @model_validator(mode="after")
    def _verdicts_agree(self) -> Record:
        failed = [diagnostic.kind for diagnostic in self.diagnostics if diagnostic.severity == "failure"]
        if self.passed and failed:
            raise ValueError(
                f"passed must be false where a diagnostic is a failure; found true with {', '.join(failed)}"
            )
        levels = [f"ISO {level.iso:g} {level.channel}" for level in self.levels if not level.passed]
        if self.passed and levels:
            raise ValueError(f"passed must be false where a level did not pass; found true with {', '.join(levels)}")
        if not self.passed and not failed and not levels:
            raise ValueError("passed must be true where no diagnostic is a failure and all levels pass; found false")
        return self


class Calibration(Part):
    """How a profile's figures were measured."""

    noise: Record | None = None
    optics: Record | None = None


class ProfileFile(Part):
    """What `camera.json` holds; every group of figures names its source.

    Version 1 holds figures from elsewhere; version 2 may have color channels of their own, a lens without noise, and
    the record of a calibration.

    >>> from dirtypixels.camera import Camera
    >>> Camera.load("nexus-6p-rear").profile.noise.gains[0].iso
    100.0
    """

    schema_version: Literal[1, 2]
    name: Text
    noise: Noise | None = None
    exposure: Exposure | None = None
    sensor: Sensor | None = None
    optics: Optics | None = None
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _parts_belong_together(self) -> ProfileFile:
        absent = [name for name in ("noise", "exposure") if getattr(self, name) is None]
        if absent and (self.schema_version == 1 or self.optics is None):
            raise ValueError(f"{' and '.join(absent)} must be given; found none")
        if (self.noise is None) != (self.exposure is None):
            raise ValueError("noise and exposure belong together; found one of them")
        if self.schema_version == 1 and self.calibration is not None:
            raise ValueError("calibration needs schema_version 2; found 1")
        record = self.calibration.noise if self.calibration else None
        if record is not None and self.noise is None:
            raise ValueError("calibration.noise describes the noise; found no noise")
        if record is not None and record.levels:
            self._levels_are_the_gains(record)
        if self.calibration is not None and self.calibration.optics is not None and self.optics is None:
            raise ValueError("calibration.optics describes a lens; found no optics")
        return self

    def _levels_are_the_gains(self, record: Record) -> None:
        assert self.noise is not None
        stated = {
            (gain.iso, channel): pair
            for gain in self.noise.gains
            for channel, pair in (
                zip("RGB", zip(gain.alpha, gain.sigma, strict=True), strict=True)
                if isinstance(gain.alpha, tuple) and isinstance(gain.sigma, tuple)
                else [("Y", (gain.alpha, gain.sigma))]
            )
        }
        measured = {(level.iso, level.channel): (level.alpha, level.sigma) for level in record.levels}
        if stated != measured:
            wrong = sorted({f"ISO {iso:g} {channel}" for (iso, channel), _ in stated.items() ^ measured.items()})
            raise ValueError(f"noise.gains must be what calibration.noise.levels measured; they differ at {wrong}")


def explain(error: ValidationError) -> str:
    """What is wrong with a profile, one clause for each entry, named by its place."""
    return "; ".join(
        f"{'.'.join(str(at) for at in e['loc'] if at not in ('number', 'channels')) or 'profile'}: {e['msg']}"
        for e in error.errors()
    )
