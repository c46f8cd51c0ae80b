"""A camera profile: what is known of one camera, where each figure comes from, and captures simulated with it."""

from __future__ import annotations

import json
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, get_args

import torch
from pydantic import ValidationError
from torch import Tensor

from dirtypixels import checks
from dirtypixels.blur import Blur, FieldBlur
from dirtypixels.camera.formation import Generators, Transfer, linear_scene, poisson_gaussian
from dirtypixels.camera.noise import ExposureRule, NoiseCurve, NoiseLevel
from dirtypixels.camera.optics import Position, PsfField, content_of, digest_of, read_psfs, seen_by
from dirtypixels.camera.schema import Optics, ProfileFile, explain
from dirtypixels.camera.storage import FILES, packed_psfs, read_files, write_files
from dirtypixels.observation import Observation

Beyond = Literal["mirror", "crop"]


class Camera:
    """A camera: its noise over gain and light, its lens over the field, and captures of scenes with it.

    Args:
        profile: the checked content of a `camera.json`.
        psfs: (rows, columns, C, kh, kw), of `psf.npz`; None for a profile without optics.
        noise: the profile's noise as it was measured, with all that is known of it; None makes it of the profile.
        optics: the profile's PSFs as they were measured, in place of `psfs`.

    Raises:
        ValueError: the profile describes optics and there are no PSFs, or the other way round, or they do not fit; or
            they are others than those that its record of a calibration speaks of; noise has other figures than the
            profile.

    >>> camera = Camera.load("nexus-6p-rear")
    >>> camera
    Camera('nexus-6p-rear', NoiseCurve(1 gain, ISO 100))
    """

    def __init__(
        self,
        profile: ProfileFile,
        psfs: Tensor | None = None,
        *,
        noise: NoiseCurve | None = None,
        optics: PsfField | None = None,
    ) -> None:
        self.profile = profile
        self.name = profile.name
        field = _optics(profile.optics, psfs if optics is None else optics.psfs)
        self.optics = optics or field
        curve = _curve(profile)
        if noise is not None and noise != curve:
            raise ValueError(f"noise must have the profile's figures, {curve!r}; found {noise!r}")
        self._noise = noise or curve
        self._check_measured()

    @property
    def noise(self) -> NoiseCurve:
        """Noise over gain and light.

        Raises:
            ValueError: the profile has optics alone.
        """
        if self._noise is None:
            raise ValueError(
                f"camera {self.name!r} has no noise figures, only optics; "
                "add them with `dirtypixels calibrate noise CAPTURES -o PROFILE`"
            )
        return self._noise

    @property
    def has_noise(self) -> bool:
        """Whether the profile has noise figures."""
        return self._noise is not None

    @staticmethod
    def available() -> list[str]:
        """Names of the bundled profiles.

        >>> "nexus-6p-rear" in Camera.available()
        True
        """
        return sorted(entry.name for entry in _bundled().iterdir() if (entry / "camera.json").is_file())

    @classmethod
    def load(cls, name: str | Path) -> Camera:
        """A bundled profile by its name, or a profile folder or zip by its path.

        Raises:
            ValueError: no such camera, or the profile is damaged or inconsistent; the message says what is wrong.

        >>> Camera.load("nexus-6p-rear").noise.at_iso(100).alpha
        0.00018724
        """
        if str(name) in cls.available():
            entry = _bundled() / str(name)
            content = {part.name: part.read_bytes() for part in entry.iterdir() if part.name in FILES}
        else:
            content = read_files(Path(name), cls.available())
        try:
            profile = ProfileFile.model_validate(json.loads(content["camera.json"].decode("utf-8")))
            return cls(profile, read_psfs(content["psf.npz"]) if "psf.npz" in content else None)
        except ValidationError as error:
            raise ValueError(f"camera profile {str(name)!r} is not valid: {explain(error)}") from error
        except ValueError as error:
            raise ValueError(f"camera profile {str(name)!r} is not valid: {error}") from error

    @property
    def sources(self) -> dict[str, str]:
        """Where the profile's figures come from, by part: "Noise", "Exposure", "Sensor", "Optics"."""
        parts = {name: getattr(self.profile, name.lower()) for name in ("Noise", "Exposure", "Sensor", "Optics")}
        return {name: part.source for name, part in parts.items() if part is not None}

    def save(self, path: str | Path) -> None:
        """Write the profile as a folder, or as a zip where the path ends in .zip; whole or not at all.

        A profile that is there already is replaced; other files in its folder stay.

        Raises:
            FileExistsError: the path is something other than a profile.
            NotADirectoryError, PermissionError: nothing can be written there.
            ValueError: the path is the current folder, or one that holds it.

        >>> from tempfile import TemporaryDirectory
        >>> camera = Camera.load("ov2740")
        >>> with TemporaryDirectory() as folder:
        ...     camera.save(f"{folder}/mine.zip")
        ...     Camera.load(f"{folder}/mine.zip").hash == camera.hash
        True
        """
        text = json.dumps(self.profile.model_dump(mode="json", exclude_none=True), indent=2)
        content = {FILES[0]: (text + "\n").encode()}
        if self.optics is not None:
            content[FILES[1]] = packed_psfs(self.optics.psfs)
        write_files(Path(path), content)

    @cached_property
    def hash(self) -> str:
        """Short digest of the figures that decide a capture; saved models, captures and studies carry it.

        In it are the noise at each gain, the exposure rule, the sensor's color filters and levels, and the PSFs with
        their grid. Names, sources, dates and the records of calibrations are not, so that cameras that take the same
        captures have the same hash.
        """
        # What a profile does not have is left out, so that its hash stays when the schema gains a part or an entry.
        parts = {name: getattr(self.profile, name) for name in ("noise", "exposure", "sensor")}
        figures = {
            name: part.model_dump(mode="json", exclude={"source"}, exclude_none=True)
            for name, part in parts.items()
            if part is not None
        }
        digest = sha256(json.dumps(figures, sort_keys=True).encode())
        if self.optics is not None:
            digest.update(content_of(self.optics.psfs))
        return digest.hexdigest()[:16]

    def psf(self, position: Position) -> Tensor:
        """The lens PSF at a place on the sensor, (C, kh, kw), see `PsfField.at`.

        Args:
            position: "center", "offaxis" or "periphery" (0.5, 0.9, 1.0 of the field), or (row, column) in [0, 1]^2.

        Raises:
            ValueError: there is no such position, or this profile has no PSF field.

        >>> camera = Camera.load("nexus-6p-rear")
        >>> psf = camera.psf("periphery")
        >>> bool((psf.sum((1, 2)) - 1).abs().max() < 1e-5)
        True
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
            generator: random generator for the batch, or a sequence of one for each image (see `realization`).
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

        >>> scene, generator = torch.full((1, 3, 64, 64), 0.5), torch.Generator().manual_seed(0)
        >>> observation = Camera.load("nexus-6p-rear").capture(scene, lux=200, position="center", generator=generator)
        >>> observation.signal.shape, round(float(observation.signal.mean()), 2)
        (torch.Size([1, 3, 64, 64]), 0.5)
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

    def _check_measured(self) -> None:
        record = self.profile.calibration.optics if self.profile.calibration else None
        if record is None or record.optics is None or record.optics.psf_sha256 is None or self.optics is None:
            return
        if (found := digest_of(self.optics.psfs)) != record.optics.psf_sha256:
            raise ValueError(
                f"psf.npz must hold the PSFs that calibration.optics measured, digest {record.optics.psf_sha256[:12]}; "
                f"found {found[:12]}"
            )

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
        channels = self.noise.channels
        alpha, sigma = (torch.as_tensor(v).to(scene).reshape(-1, channels, 1, 1) for v in level)
        if channels == 3 and scene.shape[1] == 1:  # as with the lens, a gray scene is seen in green
            alpha, sigma = alpha[:, 1:2], sigma[:, 1:2]
        elif channels not in (1, scene.shape[1]):
            raise ValueError(f"scene must have 1 or 3 channels for this camera's noise; found {scene.shape[1]}")
        return alpha.expand(len(scene), -1, 1, 1), sigma.expand(len(scene), -1, 1, 1)

    def __repr__(self) -> str:
        return f"Camera({self.name!r}, {self._noise!r})"


def _bundled() -> Traversable:
    return files("dirtypixels.camera") / "profiles"


def _fitting(psfs: Tensor, light: Tensor) -> Tensor:
    """The PSFs (..., C, kh, kw) for the channels of a scene."""
    scene, fitting = light.shape[1], seen_by(psfs, light.shape[1])
    if fitting.shape[-3] not in (1, scene):
        raise ValueError(f"scene must have 1 or {psfs.shape[-3]} channels for this lens; found {scene}")
    return fitting


def _curve(profile: ProfileFile) -> NoiseCurve | None:
    if profile.noise is None or profile.exposure is None:
        return None
    gains = profile.noise.gains
    exposure = ExposureRule(profile.exposure.reference_lux, profile.exposure.base_iso)
    return NoiseCurve([g.iso for g in gains], [g.alpha for g in gains], [g.sigma for g in gains], exposure)


def _optics(described: Optics | None, psfs: Tensor | None) -> PsfField | None:
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
