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
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from dirtypixels import checks
from dirtypixels.camera.formation import Generators, Transfer, linear_scene, poisson_gaussian
from dirtypixels.camera.noise import ExposureRule, NoiseCurve, NoiseLevel
from dirtypixels.observation import Observation


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


class ProfileFile(_Part):
    """What `camera.json` holds; every group of figures names its source."""

    schema_version: Literal[1]
    name: str = Field(min_length=1)
    noise: _Noise
    exposure: _Exposure
    sensor: _Sensor | None = None


class Camera:
    """A camera: its noise over gain and light, and captures of scenes with it.

    Args:
        profile: the checked content of a `camera.json`.
    """

    def __init__(self, profile: ProfileFile) -> None:
        self.profile = profile
        self.name = profile.name
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
        bundled = _bundled() / str(name)
        if str(name) in cls.available():
            text = (bundled / "camera.json").read_text(encoding="utf-8")
        else:
            text = _read_profile(Path(name), cls.available())
        try:
            return cls(ProfileFile.model_validate(json.loads(text)))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'profile'}: {e['msg']}" for e in error.errors())
            raise ValueError(f"camera profile {str(name)!r} is not valid: {wrong}") from error
        except ValueError as error:
            raise ValueError(f"camera profile {str(name)!r} is not valid: {error}") from error

    @cached_property
    def hash(self) -> str:
        """Short digest of every figure in the profile; saved models and studies carry it."""
        return sha256(self.profile.model_dump_json().encode()).hexdigest()[:16]

    def psf(self, position: str | tuple[float, float]) -> Tensor:
        """The lens PSF at a field position.

        Raises:
            ValueError: this profile has no PSF field.
        """
        raise ValueError(f"camera {self.name!r} has no PSF field, so no psf at {position!r}; position must be None")

    def capture(
        self,
        scene: Tensor,
        lux: float | Tensor | None = None,
        position: str | tuple[float, float] | None = None,
        generator: Generators = None,
        *,
        iso: float | Tensor | None = None,
        transfer: Transfer = "linear",
    ) -> Observation:
        """Photograph a scene.

        ``signal = clip(alpha * Poisson((k * x) / alpha) + N(0, sigma^2), 0, 1)``

        Args:
            scene: (B, C, H, W) in [0, 1].
            lux: illuminance, > 0, a number or (B,); infinity for a capture without noise. Give lux or iso.
            position: where on the sensor, for the lens PSF; None for a sharp lens.
            generator: random generator for the batch, or a sequence of one for each image (see `realisation`).
            iso: gain, >= 0, a number or (B,), in place of lux.
            transfer: "linear" takes the scene's values as light, "srgb" undoes the sRGB curve first.

        Raises:
            TypeError: scene is not a floating-point tensor.
            ValueError: scene has another shape or range, not exactly one of lux and iso is given or it does not fit the
                batch, or the profile has no PSF for the position.

        Source: Foi et al. 2008, eq. 1; Foi 2009.
        """
        checks.is_tensor("scene", scene)
        checks.has_shape("scene", scene, ("B", "C", "H", "W"))
        checks.in_range("scene", scene, 0.0, 1.0)
        psf = None if position is None else self.psf(position)
        alpha, sigma = self._noise_for(scene, lux, iso)
        signal = poisson_gaussian(linear_scene(scene, transfer), alpha, sigma, generator)
        return Observation(signal, alpha, sigma, psf)

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


def _read_profile(path: Path, names: list[str]) -> str:
    """The text of `camera.json` in a profile folder or zip."""
    try:
        if path.is_dir():
            return (path / "camera.json").read_text(encoding="utf-8")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return archive.read("camera.json").decode("utf-8")
    except (OSError, KeyError, UnicodeDecodeError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"camera profile {str(path)!r} cannot be read: camera.json: {error}") from error
    raise ValueError(
        f"camera must be a bundled profile ({', '.join(names)}) or the path of a profile folder or zip; "
        f"found {str(path)!r}"
    )
