"""Reading a recipe from its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dirtypixels.recipe.parts import Part
from dirtypixels.recipe.study import Recipe
from dirtypixels.recipe.units import BEFORE_START, Solver, part_for

_RENAMED = {"colour": "color", "optimiser": "optimizer"}
"""Keys that descriptions from before the first release have, wherever in them, and their names since."""


def load_recipe(path: str | Path, changes: tuple[str, ...] | list[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: a YAML file. Folders in it are relative to the file.
        changes: "key=value" with dots for nested keys, e.g. "finetuning.rate=0.002"; the value is YAML.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file or a change is not valid; the message names the key, what was found and what is allowed.

    >>> recipe = load_recipe("recipes/demo.yaml", ["finetuning.epochs=1"])
    >>> [condition.name for condition in recipe.conditions], recipe.finetuning.epochs
    (['clean', '3lux', '6lux+offaxis'], 1)
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"recipe must be a YAML file; found nothing at {str(file)!r}")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"recipe {str(file)!r} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"recipe {str(file)!r} must hold keys and values; found {type(content).__name__}")
    for change in changes:
        _apply(content, change)
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg']}{_allowed(e, content)}"
            + (f" (found {e.get('input')!r})" if e["loc"] else "")
            for e in error.errors()
        )
        raise ValueError(f"recipe {str(file)!r} is not valid: {wrong}") from error
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"root": _next_to(file, recipe.data.root)}),
            "pretraining": recipe.pretraining.model_copy(update={"folder": _next_to(file, recipe.pretraining.folder)}),
        }
    )


def in_todays_keys(content: Any) -> Any:
    """What an earlier version wrote of a recipe or of a model, in today's keys and with what they meant then.

    >>> in_todays_keys({"unit": {"layers": 2}, "seed": 0})
    {'unit': {'color': 'shared', 'start': 'identity', 'growth': 1.0, 'layers': 2}, 'seed': 0}
    """
    if isinstance(content, list):
        return [in_todays_keys(value) for value in content]
    if not isinstance(content, dict):
        return content
    named = {_RENAMED.get(key, key): in_todays_keys(value) for key, value in content.items()}
    for one, several in (("unit", "units"), ("deblur", "deblurs")):
        if isinstance(named.get(one), dict):
            named[one] = _unit_of_then(named[one], one)
        if isinstance(named.get(several), dict):
            named[several] = {name: _unit_of_then(unit, one) for name, unit in named[several].items()}
    return named


def _unit_of_then(unit: Any, place: str) -> Any:
    """A unit's description with what it meant before it said where it starts."""
    if not isinstance(unit, dict) or {"start", "kind", "method"} & unit.keys():
        return unit
    color = "merged" if place == "deblur" or "weighting" in unit else "shared"
    return {"color": color} | BEFORE_START | unit


def _allowed(error: ErrorDetails, content: Any) -> str:
    """Which keys there are, where a key is wrong; in all other cases the error's message says what is allowed."""
    if error["type"] != "extra_forbidden":
        return ""
    part: type[Part] = Recipe
    *parents, _ = error["loc"]
    if parents:
        for key in parents:
            content = content[key]
        part = _part(Recipe.model_fields[str(parents[0])].annotation)
        part = part_for(part, content) if issubclass(part, Solver) else part
    return f"; the keys are {', '.join(part.model_fields)}"


def _part(annotation: Any) -> type[Part]:
    """The first part in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _part(inner)) is not Part), Part)


def _apply(content: dict[str, object], change: str) -> None:
    key, separator, value = change.partition("=")
    if not separator or not key:
        raise ValueError(f"a change must read key=value; found {change!r}")
    *parents, last = key.strip().split(".")
    at: dict[str, object] = content
    for parent in parents:
        inner = at.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ValueError(f"a change must name a key of the recipe; found {key!r}, where {parent!r} is a value")
        at = inner
    try:
        at[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f"the value of a change must be YAML; found {change!r}") from error


def _next_to(file: Path, folder: Path | None) -> Path | None:
    return folder if folder is None or folder.is_absolute() else (file.parent / folder).resolve()
