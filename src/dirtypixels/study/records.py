"""What the files of results have in common: strict records, written whole and checked when they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from dirtypixels import files


class Record(BaseModel):
    """Numbers that belong together; knows all its fields, cannot be changed, and holds no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Some = TypeVar("Some", bound=Record)


def write(record: Record, path: Path | str) -> None:
    """Write `record` as JSON to `path`, atomically.

    Raises:
        ValueError: something in `record` is not valid (its lists may have changed since it was made) or is NaN.
        OSError: the file cannot be written.
    """
    checked = type(record).model_validate(record.model_dump())
    text = json.dumps(checked.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    files.write_text(path, text + "\n")


def read(kind: type[Some], path: Path | str, what: str) -> Some:
    """Read a record that `write` wrote.

    Args:
        kind: of record; its field `schema_version` has the one that is read as its default.
        path: of the file.
        what: the file is called in messages, e.g. "a study's results.json".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not JSON, has another schema version, or does not hold such a record; says where.
    """
    path = Path(path)
    try:
        found = json.loads(path.read_bytes().decode("utf-8"), parse_constant=_no_constant)
    except ValueError as error:
        raise ValueError(f"{path} must be {what}; it is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object; found {type(found).__name__}")
    version = kind.model_fields["schema_version"].default
    if found.get("schema_version") != version:
        raise ValueError(
            f"{path} must have schema_version {version}, the one that this version of dirtypixels reads; "
            f"found {found.get('schema_version')!r}"
        )
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first, *others = error.errors(include_url=False)
        where = ".".join(map(str, first["loc"])) or "the study"
        more = f" (and {len(others)} more)" if others else ""
        raise ValueError(f"{path} does not hold a valid study: {where}: {first['msg']}{more}") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
