"""What the tags of a TIFF say of the frame in it; DNG, NEF, CR2, ARW and many other raw files are TIFFs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tifffile

# Tags by number: TIFF 6.0, TIFF/EP, EXIF 2.3, DNG 1.4.
MAKE, MODEL = 271, 272
PHOTOMETRIC, CFA_PHOTOMETRIC = 262, 32803
EXPOSURE_TIME, ISO_SPEED = 33434, 34855
EXIF_IFD = 34665
DNG_VERSION, UNIQUE_CAMERA_MODEL = 50706, 50708
BLACK_REPEAT, BLACK_LEVEL, BLACK_DELTAS = 50713, 50714, (50715, 50716)
ACTIVE_AREA = 50829

#: EXIF's fields for the gain, as they are asked; the first has 16 bits, and 65535 there means "see the next"
_ISO_FIELDS = ("ISOSpeedRatings", "RecommendedExposureIndex", "ISOSpeed", "StandardOutputSensitivity")
_KEPT_FIELDS = ("DateTimeOriginal", "FNumber", "FocalLength", "LensModel", "BodySerialNumber", "ExposureBiasValue")
_KEPT_TAGS = {MAKE: "Make", MODEL: "Model", 305: "Software", UNIQUE_CAMERA_MODEL: "UniqueCameraModel"}

# What tifffile logs about makers' odd tags is no concern of a user who set up no logging.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass
class Stated:
    """What a file says of its frame, as the fields of a `Frame`; None where it says nothing."""

    cfa: str | None = None
    black: tuple[float, float, float, float] | None = None
    white: float | None = None
    iso: float | None = None
    exposure_s: float | None = None
    camera: str | None = None
    exif: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tags:
    """The tags of a TIFF.

    Args:
        main: tags of the first directory, by number; what is stored as ratios, as a tuple of floats.
        raw: tags of the directory with the mosaicked picture, the first one where there is none.
        exif: EXIF's fields, by name; what is stored as a ratio, as a pair of whole numbers.
    """

    main: Mapping[int, Any]
    raw: Mapping[int, Any]
    exif: Mapping[str, Any]

    def get(self, code: int) -> Any:
        """A tag of the mosaicked picture, else of the first directory, else None."""
        return self.raw.get(code, self.main.get(code))

    @property
    def is_sensor_file(self) -> bool:
        """Whether this is a DNG or holds a mosaicked picture, as no ordinary picture does."""
        return DNG_VERSION in self.main or self.raw.get(PHOTOMETRIC) == CFA_PHOTOMETRIC


def read_tags(path: str | Path) -> Tags | None:
    """The tags of a file; None where it is no TIFF, or one whose tags cannot be read."""
    try:
        with tifffile.TiffFile(path) as tiff:
            directories = [{tag.code: _value(tag) for tag in page.tags} for page in _pages(tiff)]
    except Exception:  # damaged tags end in a dozen unrelated types; what matters in them is asked for by name later
        return None
    if not directories:
        return None
    mosaics = [tags for tags in directories if tags.get(PHOTOMETRIC) == CFA_PHOTOMETRIC]
    exifs = [tags[EXIF_IFD] for tags in directories if isinstance(tags.get(EXIF_IFD), Mapping)]
    return Tags(directories[0], mosaics[0] if mosaics else directories[0], exifs[0] if exifs else {})


def stated_by(tags: Tags) -> Stated:
    """Gain, exposure time, camera and the rest that tags say; 0, as some firmware writes it, means unknown."""
    speeds = [*(tags.exif.get(name) for name in _ISO_FIELDS), tags.main.get(ISO_SPEED)]
    iso = next((speed for value in speeds if (speed := _first(value)) > 0 and speed != 65535), None)
    exposure = _ratio(tags.exif.get("ExposureTime")) or _first(tags.main.get(EXPOSURE_TIME))
    kept = {name: tags.main.get(code) for code, name in _KEPT_TAGS.items()}
    kept |= {name: tags.exif.get(name) for name in _KEPT_FIELDS}
    exif = {name: text for name, value in kept.items() if (text := _text(value))}
    camera = camera_name(exif.get("Make", ""), exif.get("Model", "")) or exif.get("UniqueCameraModel")
    return Stated(iso=iso, exposure_s=exposure or None, camera=camera, exif=exif)


def camera_name(make: str, model: str) -> str | None:
    """Make and model in one, without saying the make twice; None where neither is known."""
    first = make.split()[0].casefold() if make.split() else ""
    said = bool(first) and model.casefold().startswith(first)
    return (model if said else f"{make} {model}").strip() or None


def black_of_dng(tags: Tags, top: int, left: int) -> tuple[float, float, float, float] | None:
    """Black level of the 2 x 2 places whose first is at (top, left) of the stored picture, as the DNG's tags say.

    LibRaw rounds levels to whole numbers, and lays the pattern of four over the visible area even where the active
    area, where DNG has it begin, starts on an odd row or column.

    Returns:
        None where the tags say nothing that holds for each place alone: no level, a pattern of another size, or levels
        that change from row to row.

    Source: DNG specification 1.4, BlackLevelRepeatDim and BlackLevel.
    """
    levels = _numbers(tags.get(BLACK_LEVEL))
    rows, columns = tags.get(BLACK_REPEAT) or (1, 1)
    if len(levels) != rows * columns or max(rows, columns) > 2 or any(tags.get(code) for code in BLACK_DELTAS):
        return None
    y, x = (tags.get(ACTIVE_AREA) or (0, 0))[:2]
    places = [levels[(top - y + i // 2) % rows * columns + (left - x + i % 2) % columns] for i in range(4)]
    return places[0], places[1], places[2], places[3]


def _pages(tiff: tifffile.TiffFile) -> Iterator[tifffile.TiffPage]:
    """Every directory, those below another one after it."""
    for page in tiff.pages:
        if isinstance(page, tifffile.TiffPage):
            yield page
            yield from (below for below in page.pages or () if isinstance(below, tifffile.TiffPage))


def _value(tag: tifffile.TiffTag) -> Any:
    """A tag's value; ratios, which tifffile gives as one row of whole numbers, as floats (0 where they divide by 0)."""
    if tag.dtype not in (tifffile.DATATYPE.RATIONAL, tifffile.DATATYPE.SRATIONAL):
        return tag.value
    return tuple(_ratio(pair) for pair in zip(tag.value[::2], tag.value[1::2], strict=True))


def _ratio(pair: Any) -> float:
    """What a pair of whole numbers stands for; 0 where it is none, or divides by 0."""
    if not isinstance(pair, tuple) or len(pair) != 2 or not pair[1]:
        return 0.0
    return float(pair[0] / pair[1])


def _first(value: Any) -> float:
    """A tag's number, the first of several; 0 where it has none."""
    return float(next(iter(_numbers(value)), 0.0))


def _numbers(value: Any) -> tuple[float, ...]:
    """A tag's numbers."""
    values = value if isinstance(value, tuple | list) else (value,)
    return tuple(float(v) for v in values if isinstance(v, int | float))


def _text(value: Any) -> str:
    """A field as people read it; empty where it holds nothing, as a ratio of 0."""
    if isinstance(value, tuple):
        return f"{_ratio(value):g}" if _ratio(value) else ""
    return str(value).replace("\0", " ").strip() if value is not None else ""
