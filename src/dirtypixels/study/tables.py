"""A study's numbers as tables: views of the cells of its parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dirtypixels.study.results import METRICS, Cell, Difference, Estimate, Study

METHOD_NAMES = {
    "pretrained": "Pretrained",
    "nlm": "NLM + pretrained",
    "bm3d": "BM3D + pretrained",
    "hqs": "HQS + pretrained",
    "unit": "Unit + pretrained",
    "finetuned": "Fine-tuned",
    "nlm_finetuned": "NLM + fine-tuned",
    "bm3d_finetuned": "BM3D + fine-tuned",
    "hqs_finetuned": "HQS + fine-tuned",
    "unit_finetuned": "Unit + fine-tuned",
    "joint": "Joint",
}
PLACE_NAMES = {"center": "center", "offaxis": "off-axis", "periphery": "periphery"}
CONVENTIONAL = ("bm3d", "nlm", "hqs")
"""Methods that restore with no training, the one to compare with first; only HQS can deblur."""
CONFIDENCE = ("calibration_error", "calibrated_error", "risk_area")
"""Metrics of what the confidences are worth, which have a table of their own."""
WRONG = {"alpha": "alpha wrong", "sigma": "sigma wrong", "both": "both wrong"}
HOME = " †"
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
    """How a method is called in tables and figures: "joint" is "Joint", "joint:merged" is "Joint, merged".

    A method that is not in METHOD_NAMES is its own name.
    """
    method, _, unit = key.partition(":")
    return METHOD_NAMES.get(method, method) + (f", {unit}" if unit else "")


def short_name(key: str) -> str:
    """The method's name where there is little room: "BM3D + pretrained" is "BM3D"."""
    return method_name(key).replace(" + pretrained", "")


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
    """The conditions under which methods were compared, in the study's order."""
    return list(dict.fromkeys(cell.condition for cell in study.part("methods")))


def methods_of(study: Study) -> list[str]:
    """The compared methods' keys in the order of METHOD_NAMES, then any others; each in the study's order."""
    order = list(METHOD_NAMES)
    found = dict.fromkeys(cell.method for cell in study.part("methods"))
    return sorted(found, key=lambda key: order.index(m) if (m := key.partition(":")[0]) in order else len(order))


def cells_of(study: Study, condition: str, method: str) -> list[Cell]:
    """The compared cells of one condition and method: one per seed, none where it was not run."""
    return [cell for cell in study.part("methods") if (cell.condition, cell.method) == (condition, method)]


def references_of(study: Study) -> list[str]:
    """The methods that others are compared with in top-1, without their units, in the order of METHOD_NAMES."""
    cells = study.part("methods")
    found = {gap.reference.partition(":")[0] for cell in cells for gap in cell.differences if gap.metric == "top1"}
    order = [*METHOD_NAMES, *sorted(found - set(METHOD_NAMES))]
    return [method for method in order if method in found]


def trainings_of(study: Study) -> str:
    """How often what is trained was trained: "3", or "2 or 3" where not all of it as often; "no" of none."""
    counts = sorted({len(cell.trainings) for cell in study.part("methods") if cell.trainings})
    return " or ".join(map(str, counts)) or "no"


def conventional_of(study: Study, condition: str) -> str | None:
    """The conventional method to compare with under a condition: the first of CONVENTIONAL that was run there."""
    return next((method for method in CONVENTIONAL if cells_of(study, condition, method)), None)


def over_grid(study: Study) -> dict[float | None, dict[str | None, Cell]]:
    """The grid's cells by light level, then by position, in its order."""
    cells = study.part("grid")
    return {
        lux: {cell.position: cell for cell in cells if cell.lux == lux} for lux in dict.fromkeys(c.lux for c in cells)
    }


def over_light(study: Study) -> dict[str, dict[float, Cell]]:
    """The models over light by name, in the study's order, each with its cells by lux, rising."""
    cells = sorted(study.part("light"), key=lambda cell: cell.lux or 0.0)
    names = dict.fromkeys(cell.model.name for cell in study.part("light"))
    return {name: {cell.lux or 0.0: cell for cell in cells if cell.model.name == name} for name in names}


def common_lights(study: Study) -> list[float]:
    """The light levels at which every model over light was evaluated, rising."""
    lights = [set(cells) for cells in over_light(study).values()]
    return sorted(set.intersection(*lights)) if lights else []


def told_wrong(study: Study) -> dict[tuple[str, float], list[Cell]]:
    """What was evaluated with wrong noise, by model and light level, each with the truth."""
    found: dict[tuple[str, float], list[Cell]] = {}
    for cell in study.part("wrong_noise"):
        found.setdefault((cell.model.name, cell.lux or 0.0), []).append(cell)
    return found


def along(cells: Iterable[Cell], kind: str) -> dict[float, Cell]:
    """Those of which only `kind` is wrong, alpha and sigma equally for "both", by the factor; the truth is at 1."""
    found = {}
    for cell in cells:
        alpha, sigma = cell.alpha_factor, cell.sigma_factor
        if {"alpha": sigma == 1, "sigma": alpha == 1, "both": alpha == sigma}[kind]:
            found[sigma if kind == "sigma" else alpha] = cell
    return found


def method_table(study: Study) -> Table:
    """A section for each condition, methods down: the metrics, and the difference to each reference.

    A column that no cell fills is left out. Cells that differ in their seed alone have a row each; the trainings of one
    cell are one row, of their means.
    """
    cells = study.part("methods")
    seeds = {cell.seed for cell in cells}
    references = references_of(study)
    metrics = [
        name for name in dict.fromkeys(name for cell in cells for name in cell.metrics) if name not in CONFIDENCE
    ]
    most = max((cell.count for cell in cells), default=0)
    sections = []
    for condition in conditions_of(study):
        rows = []
        for cell in (cell for method in methods_of(study) for cell in cells_of(study, condition, method)):
            name = method_name(cell.method) + (f", seed {cell.seed}" if len(seeds) > 1 else "")
            name += f" (first {cell.count:,})" if cell.count < most else ""
            gains = (entry(cell.to(reference)) for reference in references)
            rows.append((name, *(entry(cell.metrics.get(metric)) for metric in metrics), *gains))
        sections.append(Section(condition_name(condition), tuple(rows)))
    notes = ["Intervals: Wilson's for top-1 and top-5, Student's t for the PSNR, Tango's for the paired gain."]
    if any(cell.trainings for cell in cells):
        notes.append(
            f"What was trained: the mean over {trainings_of(study)} trainings, with Student's interval over trainings "
            "and photographs (crossed random effects); each training is in a table of its own."
        )
    if references:
        named = method_name(references[0]) if len(references) == 1 else "the named method"
        notes.append(f"Gain: top-1 minus that of {named} on the same photographs, in percentage points.")
    methods = {cell.model.method for cell in cells}
    if methods & {"unit", "unit_finetuned"}:
        notes.append("Unit: the low-level unit as pretrained for PSNR.")
    if any(method.endswith("_finetuned") for method in methods):
        notes.append("+ fine-tuned: the restoration is frozen, and the classifier trained on what it puts out.")
    if any("psnr_affine" in cell.metrics for cell in cells):
        notes.append(
            f"{heading('psnr_affine')}: of the picture after the one gain and the one offset that bring it nearest to "
            "the scene; brightness and contrast, which training for the task leaves free, do not count."
        )
    if any(cell.position for cell in cells):
        notes += study.lens
    gains_on = [f"gain on {_lowered(method_name(one))}" for one in references]
    if len(references) == 1:
        gains_on = ["top-1 gain"]
    return Table(
        caption=f"Accuracy on {counted(cells)} photographs, with 95 % intervals.",
        columns=("Method", *map(heading, metrics), *gains_on),
        sections=tuple(sections),
        notes=tuple(notes),
    )


def trainings_table(study: Study) -> Table:
    """Top-1 of every single training, a column for each, and their mean; then their differences to each reference.

    Methods down, a section for each condition; no rows where each method was trained once.
    """
    cells = [cell for cell in study.part("methods") if cell.trainings]
    seeds = sorted({one.seed for cell in cells for one in cell.trainings})
    sections = []
    for condition in conditions_of(study):
        levels, gains = [], []
        for method in methods_of(study):
            for cell in (cell for cell in cells_of(study, condition, method) if cell.trainings):
                found = {one.seed: percent(one.metrics["top1"].value) for one in cell.trainings}
                levels.append((method_name(method), *(found.get(seed, NOTHING) for seed in seeds), entry(cell.top1)))
                for gap in (gap for gap in cell.differences if gap.trainings):
                    each = dict(zip((one.seed for one in cell.trainings), map(points, gap.trainings), strict=True))
                    name = f"{method_name(method)} minus {method_name(gap.reference)}"
                    gains.append((name, *(each.get(seed, NOTHING) for seed in seeds), entry(gap)))
        if levels:
            sections.append(Section(condition_name(condition), (*levels, *gains)))
    return Table(
        caption=f"Top-1 of every training on {counted(cells)} photographs, and the mean with its 95 % interval.",
        columns=("Method", *(f"seed {seed}" for seed in seeds), "mean"),
        sections=tuple(sections),
        notes=(
            "The seed decides the order, the noise and the mirroring of the training photographs, dropout, and a final "
            "layer that starts anew. The pretrained classifier and the pretrained unit are the same for all, so the "
            "chance of pretraining is not in the interval.",
            "Differences in percentage points, between trainings of the same seed.",
        ),
    )


def grid_table(study: Study, paper: Mapping[str, tuple[float, float]] | None = None) -> Table:
    """The pretrained classifier over light (down) and PSF (across): a section for top-1 and one for top-5.

    Args:
        study: with a grid; a table with no rows where it has none.
        paper: top-1 and top-5 by condition, shown next to ours where there are any.
    """
    cells, grid = study.part("grid"), over_grid(study)
    places = list(dict.fromkeys(cell.position for cell in cells))
    known = {key: values for key, values in (paper or {}).items() if key in {c.condition for c in cells}}

    def text(cell: Cell, k: int) -> str:
        theirs = f"; paper {percent(known[cell.condition][k])}" if cell.condition in known else ""
        return entry(cell.metrics[("top1", "top5")[k]]) + theirs

    rows = {light_name(lux): found for lux, found in grid.items()}
    sections = [
        Section(heading(metric), _pivot(rows, places, partial(text, k=k))) for k, metric in enumerate(("top1", "top5"))
    ]
    notes = ["Wilson's intervals, over the photographs. Across: where in the field of view the lens's PSF was taken."]
    if any(places):
        notes += study.lens
    if known:
        notes.append(
            "Paper: Diamond et al. 2017, the pretrained row of Table 2, for the conditions without blur that it has, "
            "since its PSFs are not public; Inception-v4 on ImageNet with 1000 classes, so levels are not comparable."
        )
    return Table(
        caption=f"The pretrained classifier on {counted(cells)} photographs, with 95 % intervals.",
        columns=("Light", *map(place_name, places)),
        sections=tuple(sections) if cells else (),
        notes=tuple(notes),
    )


def light_table(study: Study) -> Table:
    """Top-1: models down, light across; a specialist's own light is marked."""
    models, lights = over_light(study), lights_of(study)
    rows = _pivot(models, lights, lambda cell: entry(cell.top1) + (HOME if cell.is_at_home else ""))
    return Table(
        caption=f"Top-1 accuracy over light on {counted(study.part('light'))} photographs, with 95 % intervals.",
        columns=("Model", *map(light_name, lights)),
        sections=(Section("", rows),) if rows else (),
        notes=(f"Wilson's intervals.{HOME} the specialist of that light.",),
    )


def difference_table(study: Study) -> Table:
    """Top-1 minus that of the specialist of each light: models down, the lights that have a specialist across."""
    cells = study.part("light")
    lights = sorted({cell.lux or 0.0 for cell in cells if cell.is_at_home})
    rows = _pivot(
        over_light(study), lights, lambda cell: "0" if cell.is_at_home else entry(cell.difference), filled=True
    )
    return Table(
        caption=f"Top-1 minus that of the specialist of each light, in percentage points, on {counted(cells)} "
        "photographs, with 95 % intervals.",
        columns=("Model", *map(light_name, lights)),
        sections=(Section("", rows),) if lights else (),
        notes=("Paired, on the same captures, with Tango's intervals.",),
    )


def wrong_noise_table(study: Study) -> Table:
    """How wrong alpha and sigma may be: factors down, what is wrong across; a section for each model and light."""
    cells = study.part("wrong_noise")
    kinds = [kind for kind in WRONG if set(along(cells, kind)) - {1}]
    sections = []
    for (model, lux), found in told_wrong(study).items():
        columns = [along(found, kind) for kind in kinds]
        rows = []
        for factor in sorted({factor for column in columns for factor in column}):
            row = [column.get(factor) for column in columns]
            texts = [(entry(cell.top1), entry(cell.difference)) if cell else (NOTHING, NOTHING) for cell in row]
            rows.append((f"×{factor:g}", *(text for both in texts for text in both)))
        sections.append(Section(f"{model}, {light_name(lux)}", tuple(rows)))
    return Table(
        caption=(
            f"Accuracy on {counted(cells)} photographs of models that are told so many times the true alpha or sigma, "
            "with 95 % intervals."
        ),
        columns=("Told", *(("top-1", "change") * len(kinds))),
        sections=tuple(sections),
        notes=("Change: to the same model told the truth, on the same captures, in percentage points.",),
        groups=tuple((WRONG[kind], 2) for kind in kinds),
    )


def cost_table(study: Study) -> Table:
    """What each model over light gives and takes: accuracy over all lights, the networks that are run, the time."""
    lights = common_lights(study)
    rows = []
    for model, cells in over_light(study).items():
        gaps = [(cell.difference.value, lux) for lux, cell in cells.items() if cell.difference]
        seconds = mean(cell.seconds_per_image for cell in cells.values())
        accuracy = mean(cells[lux].top1.value for lux in lights)
        rows.append(
            (
                model,
                NOTHING if accuracy is None else percent(accuracy),
                f"{points(min(gaps)[0])} at {light_name(min(gaps)[1])}" if gaps else NOTHING,
                str(max(cell.model.networks for cell in cells.values())),
                NOTHING if seconds is None else f"{seconds:.3g} s",
            )
        )
    at = ", ".join(f"{lux:g}" for lux in lights)
    return Table(
        caption=f"Accuracy and cost, on {counted(study.part('light'))} photographs at each light level.",
        columns=("Model", "top-1, mean", "least against a specialist", "networks run", "time a photograph"),
        sections=(Section("", tuple(rows)),) if rows else (),
        notes=(
            f"Mean of top-1 over the light levels at which all models were evaluated, in lux: {at or 'none'}.",
            "Least: the smallest of the paired differences to the specialist of each light, in percentage points.",
            f"Time: {study.hardware}.",
        ),
    )


def confidence_table(study: Study) -> Table:
    """Models down, light across: expected calibration error before and after the temperature, and the area under risk
    over coverage."""
    lights = lights_of(study)
    models, found = over_light(study), {}
    for metric in CONFIDENCE:
        found[metric] = _pivot(models, lights, lambda cell: entry(cell.metrics.get(metric)), filled=True)  # noqa: B023
    return Table(
        caption=f"How far confidence can be trusted, on {counted(study.part('light'))} photographs; lower is better.",
        columns=("Model", *map(light_name, lights)),
        sections=tuple(Section(heading(metric), rows) for metric, rows in found.items() if rows),
        notes=(
            "Calibration error: expected difference of confidence and accuracy, in 15 bins. Area: the mean over all "
            "coverages of the wrong among the most confident answers.",
        ),
    )


def lights_of(study: Study) -> list[float]:
    """The light levels of the models over light, rising."""
    return sorted({lux for cells in over_light(study).values() for lux in cells})


def counted(cells: list[Cell]) -> str:
    """How many photographs were evaluated: "1,000", or "500 or 1,000" where not all cells have as many."""
    return " or ".join(f"{count:,}" for count in sorted({cell.count for cell in cells})) or "no"


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are there; None of none."""
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found else None


def mean_of(study: Study, condition: str, method: str, metric: str = "top1") -> float | None:
    """A metric of a compared method, the mean over the seeds; None where it was not run."""
    cells = cells_of(study, condition, method)
    return mean(cell.metrics[metric].value for cell in cells if metric in cell.metrics)


def heading(metric: str) -> str:
    """How a metric is called: "psnr" is "PSNR"; one that is not in METRICS is its own name."""
    return METRICS[metric].heading if metric in METRICS else metric


def percent(fraction: float) -> str:
    """A fraction as "74.4 %"."""
    return f"{100 * fraction:.1f} %"


def points(difference: float) -> str:
    """A difference of fractions in percentage points, signed: "+5.1", "−0.3"."""
    rounded = round(100 * difference, 1) + 0.0  # no "−0.0"
    return f"{rounded:+.1f}".replace("-", "−")


def entry(value: Estimate | Difference | None) -> str:
    """A number and its interval if it has one, e.g. "74.4 % [73.1, 75.6]"; NOTHING for None."""
    if value is None:
        return NOTHING
    if isinstance(value, Difference):
        return f"{points(value.value)} [{points(value.low)}, {points(value.high)}]"
    fraction = value.unit == "fraction"
    scale = 100 if fraction else 1
    interval = "" if value.low is None else " [" + ", ".join(f"{scale * end:.1f}" for end in value.interval) + "]"
    return f"{scale * value.value:.1f} {'%' if fraction else value.unit}{interval}"


def _lowered(name: str) -> str:
    """A name within a sentence: "Unit + fine-tuned" is "unit + fine-tuned", and "BM3D" stays."""
    return name if name[:2].isupper() else name[:1].lower() + name[1:]


def _pivot(
    rows: Mapping[str, Mapping[Any, Cell]], columns: Iterable[Any], text: Callable[[Cell], str], filled: bool = False
) -> tuple[tuple[str, ...], ...]:
    """Cells by row and column as text; `filled` leaves out the rows that hold nothing."""
    found = [
        (name, *(text(cells[column]) if column in cells else NOTHING for column in columns))
        for name, cells in rows.items()
    ]
    return tuple(row for row in found if not filled or set(row[1:]) != {NOTHING})
