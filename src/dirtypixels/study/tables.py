"""A study's numbers as tables: methods under conditions, and the grid of light x PSF."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dirtypixels.study.results import Cell, Difference, Estimate, Study

METHOD_NAMES = {
    "pretrained": "Pretrained",
    "nlm": "NLM + pretrained",
    "bm3d": "BM3D + pretrained",
    "hqs": "HQS + pretrained",
    "unit": "Unit + pretrained",
    "finetuned": "Fine-tuned",
    "joint": "Joint",
}
PLACE_NAMES = {"center": "center", "offaxis": "off-axis", "periphery": "periphery"}
CONVENTIONAL = ("bm3d", "nlm", "hqs")
"""Methods that restore with no training, the one to compare with first; only HQS can deblur."""
NOTHING = "–"


@dataclass(frozen=True)
class Section:
    """Rows under a heading of their own; the heading is empty where the table has one section only."""

    heading: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Table:
    """Cells as text, in sections one over the other, under headings of one or two levels.

    Args:
        caption: a sentence.
        columns: the headings; the first is that of the rows' names.
        sections: their rows, each as long as `columns`.
        notes: sentences that belong under the table.
        groups: (heading, number of columns) over all columns but the first, in order; none for one level.
    """

    caption: str
    columns: tuple[str, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    groups: tuple[tuple[str, int], ...] = ()

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        return tuple(row for section in self.sections for row in section.rows)

    @property
    def headings(self) -> tuple[str, ...]:
        """The columns' headings, each with that of its group before it."""
        over = [f"{heading} " for heading, width in self.groups for _ in range(width)] or [""] * len(self.columns[1:])
        return (self.columns[0], *(a + b for a, b in zip(over, self.columns[1:], strict=True)))


def method_name(key: str) -> str:
    """How a method is called in tables and figures; a key that is not in METHOD_NAMES is its own name."""
    return METHOD_NAMES.get(key, key)


def short_name(key: str) -> str:
    """The method's name where there is little room: "BM3D + pretrained" is "BM3D"."""
    return method_name(key).removesuffix(" + pretrained")


def condition_name(key: str) -> str:
    """How a condition is called: "6lux+offaxis" is "6 lux + off-axis", "3lux+0.9-0.8" is "3 lux + (0.9, 0.8)"."""
    key = re.sub(r"(\d)lux\b", r"\1 lux", key)
    key = re.sub(r"\+([\d.]+)-([\d.]+)$", r" + (\1, \2)", key)
    return re.sub(rf"\+({'|'.join(PLACE_NAMES)})$", lambda found: f" + {PLACE_NAMES[found[1]]}", key)


def light_name(lux: float | None) -> str:
    """How a light level is called: 3.0 is "3 lux", None "no noise"."""
    return "no noise" if lux is None else f"{lux:g} lux"


def place_name(position: str | None) -> str:
    """How a cell's position is called: "offaxis" is "off-axis", "0.90,0.80" is "(0.90, 0.80)", None "no blur"."""
    if position is None:
        return "no blur"
    return PLACE_NAMES.get(position, f"({position.replace(',', ', ')})")


def conditions_of(study: Study) -> list[str]:
    """The conditions' keys, in the study's order."""
    return list(dict.fromkeys(cell.condition for cell in study.cells))


def methods_of(study: Study) -> list[str]:
    """The methods' keys in the order of METHOD_NAMES, then any others in the study's order."""
    found = dict.fromkeys(cell.method for cell in study.cells)
    return [*(key for key in METHOD_NAMES if key in found), *(key for key in found if key not in METHOD_NAMES)]


def cells_of(study: Study, condition: str, method: str) -> list[Cell]:
    """The cells of one condition and method: one per seed, none where it was not run."""
    return [cell for cell in study.cells if (cell.condition, cell.method) == (condition, method)]


def conventional_of(study: Study, condition: str) -> str | None:
    """The conventional method to compare with under a condition: the first of CONVENTIONAL that was run there."""
    return next((method for method in CONVENTIONAL if cells_of(study, condition, method)), None)


def mean_top1(study: Study, condition: str, method: str) -> float | None:
    """Top-1, the mean over the seeds; None where it was not run."""
    return mean(cell.top1 for cell in cells_of(study, condition, method))


def mean(estimates: Iterable[Estimate]) -> float | None:
    """The mean of the estimates' values; None of none."""
    values = [estimate.value for estimate in estimates]
    return sum(values) / len(values) if values else None


def method_table(study: Study) -> Table:
    """A section for each condition, methods down: top-1, top-5, PSNR and the difference in top-1 to the reference.

    A column that no cell fills is left out; a method trained with several seeds has a row for each.
    """
    seeds = {cell.seed for cell in study.cells}
    references = {cell.difference.reference for cell in study.cells if cell.difference}
    headings = {"top1": "top-1", "top5": "top-5", "psnr": "PSNR", "difference": "top-1 gain"}
    fields = [field for field in headings if any(getattr(cell, field) is not None for cell in study.cells)]
    most = max((cell.count for cell in study.cells), default=0)

    sections = []
    for condition in conditions_of(study):
        rows = []
        for cell in (cell for method in methods_of(study) for cell in cells_of(study, condition, method)):
            name = method_name(cell.method) + (f", seed {cell.seed}" if len(seeds) > 1 else "")
            name += f" (first {cell.count:,})" if cell.count < most else ""
            rows.append((name, *(entry(getattr(cell, field), len(references) > 1) for field in fields)))
        sections.append(Section(condition_name(condition), tuple(rows)))

    notes = ["Intervals: Wilson's for top-1 and top-5, Student's t for the PSNR, Tango's for the paired gain."]
    if references:
        named = method_name(min(references)) if len(references) == 1 else "the named method"
        notes.append(f"Gain: top-1 minus that of {named} on the same photographs, in percentage points.")
    if "unit" in methods_of(study):
        notes.append("Unit: the low-level unit as pretrained for PSNR.")
    if any(cell.position for cell in study.cells):
        notes += _provenance(study)
    return Table(
        caption=f"Accuracy on {counted(study.cells)} photographs, with 95 % intervals.",
        columns=("Method", *(headings[field] for field in fields)),
        sections=tuple(sections),
        notes=tuple(notes),
    )


def grid_table(study: Study, paper: dict[str, tuple[float, float]] | None = None) -> Table:
    """The pretrained classifier over light (down) and PSF (across): a section for top-1 and one for top-5.

    Args:
        study: with a grid; a table with no rows where it has none.
        paper: top-1 and top-5 by condition, shown next to ours where there are any.
    """
    cells = {(cell.lux, cell.position): cell for cell in study.grid}
    lights, places = lights_of(study), places_of(study)
    known = {key: values for key, values in (paper or {}).items() if key in {c.condition for c in study.grid}}

    def text(cell: Cell | None, k: int) -> str:
        if cell is None:
            return NOTHING
        theirs = f"; paper {percent(known[cell.condition][k])}" if cell.condition in known else ""
        return entry((cell.top1, cell.top5)[k]) + theirs

    sections = [
        Section(
            heading,
            tuple((light_name(lux), *(text(cells.get((lux, place)), k) for place in places)) for lux in lights),
        )
        for k, heading in enumerate(("top-1", "top-5"))
    ]
    notes = ["Wilson's intervals, over the photographs. Across: where in the field of view the lens's PSF was taken."]
    if any(places):
        notes += _provenance(study)
    if known:
        notes.append(
            "Paper: Diamond et al. 2017, the pretrained row of Table 2, for the conditions that it has; Inception-v4 "
            "on ImageNet, so the fall from cell to cell can be compared, not the levels."
        )
    return Table(
        caption=f"The pretrained classifier on {counted(study.grid)} photographs, with 95 % intervals.",
        columns=("Light", *map(place_name, places)),
        sections=tuple(sections) if cells else (),
        notes=tuple(notes),
    )


def lights_of(study: Study) -> list[float | None]:
    """The grid's light levels, in its order."""
    return list(dict.fromkeys(cell.lux for cell in study.grid))


def places_of(study: Study) -> list[str | None]:
    """The grid's positions, in its order."""
    return list(dict.fromkeys(cell.position for cell in study.grid))


def counted(cells: list[Cell]) -> str:
    """How many photographs were judged: "1,000", or "500 or 1,000" where not all cells have as many."""
    return " or ".join(f"{count:,}" for count in sorted({cell.count for cell in cells})) or "no"


def percent(fraction: float) -> str:
    """A fraction as "74.4 %"."""
    return f"{100 * fraction:.1f} %"


def points(difference: float) -> str:
    """A difference of fractions in percentage points, signed: "+5.1", "−0.3"."""
    rounded = round(100 * difference, 1) + 0.0  # no "−0.0"
    return f"{rounded:+.1f}".replace("-", "−")


def entry(value: Estimate | Difference | None, name_reference: bool = False) -> str:
    """A number and its interval, e.g. "74.4 % [73.1, 75.6]"; NOTHING for None."""
    if value is None:
        return NOTHING
    if isinstance(value, Difference):
        to = f" to {method_name(value.reference)}" if name_reference else ""
        return f"{points(value.value)}{to} [{points(value.low)}, {points(value.high)}]"
    if value.unit == "fraction":
        return f"{percent(value.value)} [{100 * value.low:.1f}, {100 * value.high:.1f}]"
    return f"{value.value:.1f} dB [{value.low:.1f}, {value.high:.1f}]"


def _provenance(study: Study) -> list[str]:
    return [] if study.optics is None else [f"The lens's PSFs: {study.optics.rstrip('.')}."]
