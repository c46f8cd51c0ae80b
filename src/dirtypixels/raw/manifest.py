"""The manifest `captures.csv`: what is known of the frames in a folder, next to the files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from dirtypixels.files import write_text
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.reading import MONOCHROME, Overrides, checked_overrides

MANIFEST = "captures.csv"
COLUMNS = ("file", "iso", "exposure_s", "black", "white", "cfa", "camera")


def read_manifest(path: str | Path) -> dict[str, Overrides]:
    """What `captures.csv` says of each file, by its name.

    Columns: file, iso, exposure_s, black (one number, or four separated by blanks), white, cfa (a pattern or "mono"),
    camera; `file` must be there, an empty cell means unknown. UTF-8, separated by commas.

    Raises:
        ValueError: a column is unknown or missing, a line names no file or one twice or outside of the folder, or a
            cell is not what its column holds; the message names the line.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    except UnicodeDecodeError as error:
        raise ValueError(f"{str(file)!r} is not UTF-8 text: {error}") from error
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [(lines.line_num, [cell.strip() for cell in row]) for row in lines if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ValueError(f"{str(file)!r}, line {lines.line_num}: {error}") from error
    header = rows[0][1] if rows else []
    if wrong := [name for name in header if name not in COLUMNS or header.count(name) > 1]:
        hint = " (it must be separated by commas)" if any(";" in name or "\t" in name for name in wrong) else ""
        raise ValueError(
            f"{str(file)!r}: columns must be some of {', '.join(COLUMNS)}, each once; found {wrong[0]!r}{hint}"
        )
    if "file" not in header or len(rows) < 2:
        raise ValueError(f"{str(file)!r} must have a column 'file' and a line for each capture")
    found: dict[str, Overrides] = {}
    for number, row in rows[1:]:
        try:
            name, stated = _row(header, row)
            if name in found:
                raise ValueError(f"{name!r} is listed twice")
        except ValueError as error:
            raise ValueError(f"{str(file)!r}, line {number}: {error}") from error
        found[name] = stated
    return found


def write_manifest(path: str | Path, frames: Iterable[tuple[str, Frame]]) -> None:
    """Write `captures.csv` for files by their names, atomically; what is unknown is an empty cell."""
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for name, frame in frames:
        black = "" if frame.black is None else " ".join(map(_written, _shortest(frame.black)))
        numbers = ["" if v is None else _written(v) for v in (frame.iso, frame.exposure_s, frame.white)]
        lines.writerow([name, *numbers[:2], black, numbers[2], frame.cfa or MONOCHROME, frame.camera or ""])
    write_text(path, text.getvalue())


def _shortest(black: tuple[float, ...]) -> tuple[float, ...]:
    """One number where all four places have the same black level."""
    return black[:1] if len(set(black)) == 1 else black


def _row(header: list[str], row: list[str]) -> tuple[str, Overrides]:
    if len(row) != len(header):
        raise ValueError(f"must have {len(header)} cells, as the first line; found {len(row)}")
    cells = dict(zip(header, row, strict=True))
    name = cells.pop("file")
    if not name or Path(name).name != name or name == "..":
        raise ValueError(f"file must be the name of a file in the same folder; found {name!r}")
    stated: Overrides = {}
    for column, cell in cells.items():
        if not cell:
            continue
        if column == "cfa":
            stated["cfa"] = cell
        elif column == "camera":
            stated["camera"] = cell
        elif column == "black":
            stated["black"] = [_number(column, part) for part in cell.split()]
        elif column in ("iso", "exposure_s", "white"):
            stated[column] = _number(column, cell)  # type: ignore[literal-required]
    checked_overrides(stated)
    return name, stated


def _number(column: str, cell: str) -> float:
    try:
        return float(cell)
    except ValueError as error:
        raise ValueError(f"{column} must be a number with a decimal point; found {cell!r}") from error


def _written(value: float) -> str:
    """The shortest text that reads as the same number."""
    return repr(int(value)) if float(value).is_integer() else repr(float(value))
