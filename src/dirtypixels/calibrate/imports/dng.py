"""The noise model that a DNG carries: its NoiseProfile tag."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dirtypixels import checks
from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.profile import ImportedCurve
from dirtypixels.raw.folders import find_captures
from dirtypixels.raw.metadata import DNG_VERSION, Tags, read_tags, stated_by

_NOISE_PROFILE, _PLANE_COLORS, _NOISE_REDUCTION = 51041, 50710, 50935

_NOT_MEASURED = (
    "the NoiseProfile tag is what the camera's maker or the converter says of this model at this gain, no measurement "
    "of this camera"
)


def noise_profile(source: str | Path | Iterable[str | Path], *, iso: float | None = None) -> ImportedCurve:
    """Noise that DNG files state in their NoiseProfile tag.

    ``variance = S x + O`` per color plane, x in [0, 1] with black removed; so alpha = S and sigma = sqrt(O).

    Args:
        source: a folder of DNGs (see `find_captures`), or one or several, of one camera, at one gain or more; files of
            one gain must state the same.
        iso: of all files; None takes what `captures.csv` next to them says, else the files.

    Returns:
        One gain for each ISO; one channel where the tag has one pair for all planes, else red, green and blue.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: there is no file; one is no DNG or states no noise profile, ISO or camera that fits, or figures out
            of range.

    Source: Adobe, Digital Negative Specification 1.4, NoiseProfile.

    >>> noise_profile("captures/")  # doctest: +SKIP
    ImportedCurve(3 gains, ISO 100 to 1600)
    """
    if iso is not None:
        checks.in_range("iso", iso)
        checks.above_zero("iso", iso)
    diagnostics = [Diagnostic("not-measured", "note", _NOT_MEASURED)]
    gains: dict[float, tuple[Path, npt.NDArray[np.float64]]] = {}
    cameras: dict[str | None, Path] = {}
    reduced: list[str] = []
    for file, listed in find_captures(source):
        try:
            tags = read_tags(file)
            if tags is None or DNG_VERSION not in tags.main:
                raise ValueError("it is no DNG, or one whose tags cannot be read; only a DNG has a NoiseProfile tag")
            pairs, stated = _pairs(tags), stated_by(tags)
        except ValueError as error:
            raise ValueError(f"{str(file)!r}: {error}") from error
        gain = iso or listed.get("iso") or stated.iso
        if gain is None:
            raise ValueError(f"{str(file)!r} states a noise profile, but no ISO that it holds for: give iso=")
        cameras.setdefault(listed.get("camera") or stated.camera, file)
        before = gains.setdefault(gain, (file, pairs))
        if before[1].shape != pairs.shape or not np.allclose(before[1], pairs, rtol=1e-6, atol=0):
            raise ValueError(
                f"{str(before[0])!r} and {str(file)!r} are of ISO {gain:g} both and state different noise: "
                f"{before[1].tolist()} and {pairs.tolist()}"
            )
        applied = tags.get(_NOISE_REDUCTION)  # 0/0 where the DNG does not know whether its samples were denoised
        if isinstance(applied, tuple) and applied[0] > 0:
            reduced.append(file.name)
    if len(cameras) > 1:
        (one, first), (other, second), *_ = ((name or "an unknown camera", file) for name, file in cameras.items())
        raise ValueError(f"files must be of one camera: {str(first)!r} is of {one}, {str(second)!r} of {other}")
    if len({pairs.shape for _, pairs in gains.values()}) > 1:
        raise ValueError("files must state noise for the same planes; found one pair in some and three in others")
    if reduced:
        text = f"noise reduction was applied to the samples of {len(reduced)} files ({reduced[0]}), says the DNG"
        diagnostics.append(Diagnostic("noise-reduction", "warning", text))
    ordered = sorted(gains)
    figures = np.stack([gains[gain][1] for gain in ordered])  # (N, C, 2)
    names = ", ".join(gains[gain][0].name for gain in ordered)
    text = (
        f"NoiseProfile tag of {names} (variance = S x + O, x in [0, 1]); alpha = S, sigma = sqrt(O); as the maker or "
        "the converter states it, not measured"
    )
    alpha, sigma = figures[..., 0], np.sqrt(figures[..., 1])
    return ImportedCurve(next(iter(cameras)), ordered, alpha, sigma, text, tuple(diagnostics))


def _pairs(tags: Tags) -> npt.NDArray[np.float64]:
    """(C, 2): S and O of all planes, or of red, green and blue."""
    figures = tags.get(_NOISE_PROFILE)
    if figures is None:
        raise ValueError("it has no NoiseProfile tag: not every camera and converter writes one; measure it instead")
    pairs = np.atleast_1d(np.asarray(figures, dtype=np.float64))
    if pairs.size not in (2, 6):
        raise ValueError(f"its NoiseProfile tag must hold 1 or 3 pairs of numbers; found {pairs.size} numbers")
    pairs = pairs.reshape(-1, 2)
    if not np.isfinite(pairs).all() or (pairs[:, 0] <= 0).any() or (pairs[:, 1] < 0).any():
        raise ValueError(f"its NoiseProfile tag must hold pairs S > 0, O >= 0; found {pairs.tolist()}")
    if len(pairs) == 1:
        return pairs
    planes = tags.get(_PLANE_COLORS)
    order = (0, 1, 2) if planes is None else tuple(planes)
    if sorted(order) != [0, 1, 2]:
        raise ValueError(f"its color planes must be red, green and blue (0, 1, 2); found {order}")
    return pairs[np.argsort(order)]
