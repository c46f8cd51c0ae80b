"""A camera profile: what is known of one camera, where each figure comes from, and captures simulated with it."""

from __future__ import annotations

import json
import zipfile
import zlib
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from dirtypixels import checks
from dirtypixels.blur import Blur, FieldBlur
from dirtypixels.camera.formation import Generators, Transfer, linear_scene, poisson_gaussian
from dirtypixels.camera.noise import ExposureRule, NoiseCurve, NoiseLevel
from dirtypixels.camera.optics import Position, PsfField, read_psfs, seen_by
from dirtypixels.observation import Observation

Beyond = Literal["mirror", "crop"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Gain(_Part):
    iso: float = Field(gt=0, allow_inf_nan=False)
    alpha: float = Field(ge=0, allow_inf_nan=False)
    sigma: float = Field(ge=0, allow_inf_nan=False)


class _Noise(_Part):
    gains: tuple[_Gain, ...] = Field(min_length=1)
    source: str = Field(min_length=1)


class _Exposure(_Part):
    reference_lux: float = Field(gt=0, allow_inf_nan=False)
    base_iso: float = Field(gt=0, allow_inf_nan=False)
    source: str = Field(min_length=1)


class _Sensor(_Part):
    cfa: Literal["RGGB", "BGGR", "GRBG", "GBRG"] | None
    black_level: float = Field(ge=0, allow_inf_nan=False)
    white_level: float = Field(gt=0, allow_inf_nan=False)
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _levels_in_order(self) -> _Sensor:
        if self.black_level >= self.white_level:
            raise ValueError(f"black_level must be below white_level {self.white_level:g}; found {self.black_level:g}")
        return self


class _Optics(_Part):
    """The grid of `psf.npz`: nodes spread evenly over the frame, corners included."""

    rows: int = Field(ge=2)
    columns: int = Field(ge=2)
    pitch_um: float = Field(gt=0, allow_inf_nan=False)
    source: str = Field(min_length=1)


class ProfileFile(_Part):
    """What `camera.json` holds; every group of figures names its source."""

    schema_version: Literal[1]
    name: str = Field(min_length=1)
    noise: _Noise
    exposure: _Exposure
    sensor: _Sensor | None = None
    optics: _Optics | None = None


class Camera:
    """A camera: its noise over gain and light, its lens over the field, and captures of scenes with it.

    Args:
        profile: the checked content of a `camera.json`.
        psfs: (rows, columns, C, kh, kw), of `psf.npz`; None for a profile without optics.

    Raises:
        ValueError: the profile describes optics and there are no PSFs, or the other way round, or they do not fit.
    """

    def __init__(self, profile: ProfileFile, psfs: Tensor | None = None) -> None:
        self.profile = profile
        self.name = profile.name
        self.optics = _optics(profile.optics, psfs)
        gains = profile.noise.gains
        self.noise = NoiseCurve(
            [g.iso for g in gains],
            [g.alpha for g in gains],
            [g.sigma for g in gains],
            ExposureRule(profile.exposure.reference_lux, profile.exposure.base_iso),
        )

    @staticmethod
    def available() -> list[str]:
        """Names of the bundled profiles."""
        return sorted(entry.name for entry in _bundled().iterdir() if (entry / "camera.json").is_file())

    @classmethod
    def load(cls, name: str | Path) -> Camera:
        """A bundled profile by its name, or a profile folder or zip by its path.

        Raises:
            ValueError: no such camera, or the profile is damaged or inconsistent; the message says what is wrong.
        """
        if str(name) in cls.available():
            entry = _bundled() / str(name)
            content = {part.name: part.read_bytes() for part in entry.iterdir() if part.name in _FILES}
        else:
            content = _read_profile(Path(name), cls.available())
        try:
            profile = ProfileFile.model_validate(json.loads(content["camera.json"].decode("utf-8")))
            return cls(profile, read_psfs(content["psf.npz"]) if "psf.npz" in content else None)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'profile'}: {e['msg']}" for e in error.errors())
            raise ValueError(f"camera profile {str(name)!r} is not valid: {wrong}") from error
        except ValueError as error:
            raise ValueError(f"camera profile {str(name)!r} is not valid: {error}") from error

    @cached_property
    def hash(self) -> str:
        """Short digest of every figure in the profile; saved models and studies carry it."""
        digest = sha256(self.profile.model_dump_json(exclude=None if self.optics else {"optics"}).encode())
        if self.optics is not None:
            digest.update(self.optics.psfs.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def psf(self, position: Position) -> Tensor:
        """The lens PSF at a place on the sensor, (C, kh, kw), see `PsfField.at`.

        Args:
            position: "center", "offaxis" or "periphery" (0.5, 0.9, 1.0 of the field), or (row, column) in [0, 1]^2.

        Raises:
            ValueError: there is no such position, or this profile has no PSF field.
        """
        return self._lens(position).at(position).clone()

    def capture(
        self,
        scene: Tensor,
        lux: float | Tensor | None = None,
        position: Position | None = None,
        generator: Generators = None,
        *,
        iso: float | Tensor | None = None,
        transfer: Transfer = "linear",
        beyond: Beyond = "mirror",
    ) -> Observation:
        """Photograph a scene.

        ``signal = clip(alpha * Poisson((k * x) / alpha) + N(0, sigma^2), 0, 1)``

        Args:
            scene: (B, C, H, W) in [0, 1].
            lux: illuminance, > 0, a number or (B,); infinity for a capture without noise. Give lux or iso.
            position: where on the sensor the scene lies, all of it with the lens PSF there (see `psf`); "field" takes
                the scene for the whole frame and blurs each place with its own PSF; None for a sharp lens.
            generator: random generator for the batch, or a sequence of one for each image (see `realisation`).
            iso: gain, >= 0, a number or (B,), in place of lux.
            transfer: "linear" takes the scene's values as light, "srgb" undoes the sRGB curve first.
            beyond: what the lens sees beyond the scene's border. "mirror": the scene reflected at its edge; "crop":
                nothing made up, the capture is the part that the scene determines, smaller by the PSF's size less 1.

        Returns:
            An Observation with the PSF, (1, C, kh, kw), which all captures at one place share. With "field" its psf is
            None: no single PSF describes it, and `camera.optics` holds them all.

        Raises:
            TypeError: scene is not a floating-point tensor.
            ValueError: scene has another shape or range, not exactly one of lux and iso is given or it does not fit the
                batch, there is no such position, the profile has no PSF field, or the scene is too small to crop.

        Source: Foi et al. 2008, eq. 1; Foi 2009.
        """
        checks.is_tensor("scene", scene)
        checks.has_shape("scene", scene, ("B", "C", "H", "W"))
        checks.in_range("scene", scene, 0.0, 1.0)
        checks.one_of("beyond", beyond, get_args(Beyond))
        alpha, sigma = self._noise_for(scene, lux, iso)
        light = linear_scene(scene, transfer)
        psf = None
        if position == "field":
            psfs = _fitting(self._lens(position).psfs.to(light), light)
            light = FieldBlur(psfs, beyond).forward(light)
        elif position is not None:
            psf = self._lens(position).at(position)[None].to(light)
            psf = _fitting(psf, light)
            light = Blur(psf, beyond).forward(light)
        # Fourier transforms round: what was in [0, 1] before a blur is in it afterwards, but for their errors.
        signal = poisson_gaussian(light.clamp(0.0, 1.0), alpha, sigma, generator)
        return Observation(signal, alpha, sigma, psf)

    def check_position(self, position: Position | None) -> None:
        """Raise ValueError unless `capture` can use the position."""
        if position is not None:
            lens = self._lens(position)
            if position != "field":
                lens.at(position)

    def _lens(self, position: Position) -> PsfField:
        if self.optics is None:
            raise ValueError(
                f"position must be None for camera {self.name!r}, which has no PSF field; found {position!r}"
            )
        return self.optics

    def _noise_for(
        self, scene: Tensor, lux: float | Tensor | None, iso: float | Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if (lux is None) == (iso is None):
            raise ValueError(f"give exactly one of lux and iso; found lux={lux}, iso={iso}")
        name, given = ("lux", lux) if lux is not None else ("iso", iso)
        values = torch.as_tensor(given, dtype=torch.float64)
        if values.shape not in ((), (1,), (len(scene),)):
            raise ValueError(f"{name} must be a number or have shape ({len(scene)},); found {tuple(values.shape)}")
        level: NoiseLevel = self.noise.at_lux(values) if name == "lux" else self.noise.at_iso(values)
        alpha, sigma = (torch.as_tensor(v).to(scene).expand(len(scene)).reshape(-1, 1, 1, 1) for v in level)
        return alpha, sigma

    def __repr__(self) -> str:
        return f"Camera({self.name!r}, {self.noise!r})"


def _bundled() -> Traversable:
    return files("dirtypixels.camera") / "profiles"


_FILES = ("camera.json", "psf.npz")


def _fitting(psfs: Tensor, light: Tensor) -> Tensor:
    """The PSFs (..., C, kh, kw) for the channels of a scene."""
    scene, fitting = light.shape[1], seen_by(psfs, light.shape[1])
    if fitting.shape[-3] not in (1, scene):
        raise ValueError(f"scene must have 1 or {psfs.shape[-3]} channels for this lens; found {scene}")
    return fitting


def _optics(described: _Optics | None, psfs: Tensor | None) -> PsfField | None:
    if (described is None) != (psfs is None):
        found = "psf.npz without them" if described is None else "no psf.npz"
        raise ValueError(f"optics in camera.json and psf.npz belong together; found {found}")
    if described is None or psfs is None:
        return None
    if tuple(psfs.shape[:2]) != (described.rows, described.columns):
        raise ValueError(
            f"psf.npz must hold {described.rows} x {described.columns} PSFs, as camera.json says; "
            f"found {psfs.shape[0]} x {psfs.shape[1]}"
        )
    return PsfField(psfs, described.source, described.pitch_um)


def _read_profile(path: Path, names: list[str]) -> dict[str, bytes]:
    """The files of a profile folder or zip, by name; `camera.json` is among them."""
    found: dict[str, bytes] = {}
    name = _FILES[0]
    try:
        if path.is_dir():
            for name in _FILES:
                if name == _FILES[0] or (path / name).is_file():
                    found[name] = (path / name).read_bytes()
            return found
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in _FILES:
                    if name == _FILES[0] or name in archive.namelist():
                        found[name] = archive.read(name)
                return found
    except (OSError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"camera profile {str(path)!r} cannot be read: {name}: {error}") from error
    raise ValueError(
        f"camera must be a bundled profile ({', '.join(names)}) or the path of a profile folder or zip; "
        f"found {str(path)!r}"
    )
