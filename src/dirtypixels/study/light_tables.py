"""The numbers of a light study as tables: models over light, wrong noise figures, cost, and confidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dirtypixels.study.light_results import LightCell, LightStudy, Mismatch, RiskCurve
from dirtypixels.study.markup import flat, rows_to_csv
from dirtypixels.study.tables import NOTHING, Section, Table, entry, light_name, percent, points

HOME = " †"
WRONG = {"alpha": "alpha wrong", "sigma": "sigma wrong", "both": "both wrong"}


def home_of(study: LightStudy, lux: float) -> LightCell | None:
    """The specialist of a light level at that light; None where there is none."""
    return next((cell for cell in study.cells if cell.is_at_home and cell.judged_lux == lux), None)


def models_of(study: LightStudy) -> list[str]:
    """The models' names, in the study's order."""
    return list(dict.fromkeys(cell.model for cell in study.cells))


def lights_of(study: LightStudy) -> list[float]:
    """The judged light levels in lux, rising."""
    return sorted({cell.judged_lux for cell in study.cells})


def cells_of(study: LightStudy, model: str) -> dict[float, LightCell]:
    """A model's cells by the judged light in lux, rising."""
    found = {cell.judged_lux: cell for cell in study.cells if cell.model == model}
    return dict(sorted(found.items()))


def light_table(study: LightStudy) -> Table:
    """Top-1: models down, light across; a specialist's own light is marked."""
    lights = lights_of(study)
    rows = []
    for model in models_of(study):
        cells = cells_of(study, model)
        rows.append((model, *(_top1(cells.get(lux)) for lux in lights)))
    return Table(
        caption=f"Top-1 accuracy over light on {counted(study.cells)} photographs, with 95 % intervals.",
        columns=("Model", *map(light_name, lights)),
        sections=(Section("", tuple(rows)),) if rows else (),
        notes=(f"Wilson's intervals.{HOME} the specialist of that light.",),
    )


def difference_table(study: LightStudy) -> Table:
    """Top-1 minus that of the specialist of each light: models down, the lights that have a specialist across."""
    lights = [lux for lux in lights_of(study) if home_of(study, lux)]
    rows = []
    for model in models_of(study):
        cells = cells_of(study, model)
        found = tuple(_gap(cells.get(lux)) for lux in lights)
        if set(found) != {NOTHING}:
            rows.append((model, *found))
    return Table(
        caption=f"Top-1 minus that of the specialist of each light, in percentage points, on {counted(study.cells)} "
        "photographs, with 95 % intervals.",
        columns=("Model", *map(light_name, lights)),
        sections=(Section("", tuple(rows)),) if lights else (),
        notes=("Paired, on the same captures, with Tango's intervals.",),
    )


def mismatch_table(study: LightStudy) -> Table:
    """How wrong alpha and sigma may be: factors down, what is wrong across; a section for each model and light."""
    kinds = [kind for kind in WRONG if any(wrong_of(m) == kind for m in study.mismatch)]
    sections = []
    for model, lux in dict.fromkeys((m.model, m.lux) for m in study.mismatch):
        cells = mismatch_of(study, model, lux)
        rows = []
        for pair in sorted({_factors(m) for m in cells}):
            # The truth is where all the columns meet.
            by_kind = {wrong_of(m): m for m in cells if _factors(m) == pair}
            found = [by_kind.get("none", by_kind.get(kind)) for kind in kinds]
            name = " and ".join(f"×{factor:g}" for factor in dict.fromkeys(pair))
            rows.append((name, *(text for m in found for text in (_top1(m), _gap(m)))))
        sections.append(Section(f"{model}, {light_name(lux)}", tuple(rows)))
    return Table(
        caption=(
            f"Accuracy on {counted(study.mismatch)} photographs of models that are told so many times the true alpha "
            "or sigma, with 95 % intervals."
        ),
        columns=("Told", *(("top-1", "change") * len(kinds))),
        sections=tuple(sections),
        notes=(
            "Change: to the same model told the truth, on the same captures, in percentage points. Where two factors "
            "are named, the first is alpha's.",
        ),
        groups=tuple((WRONG[kind], 2) for kind in kinds),
    )


def mismatch_of(study: LightStudy, model: str, lux: float) -> list[Mismatch]:
    """What a model gave at one light level when told wrong figures, and the truth."""
    return [m for m in study.mismatch if (m.model, m.lux) == (model, lux)]


def wrong_of(cell: Mismatch) -> str:
    """Which figure is wrong: "alpha", "sigma", "both" or "none"."""
    if cell.sigma_factor == 1:
        return "none" if cell.alpha_factor == 1 else "alpha"
    return "sigma" if cell.alpha_factor == 1 else "both"


def cost_table(study: LightStudy) -> Table:
    """What each model gives and takes: accuracy over all lights, the networks that are run, the time."""
    lights = common_lights(study)
    rows = []
    for model in models_of(study):
        cells = cells_of(study, model)
        gaps = {lux: cell.difference.value for lux, cell in cells.items() if cell.difference}
        least = min(gaps, key=lambda lux: gaps[lux]) if gaps else None
        seconds = mean([cell.seconds_per_image for cell in cells.values()])
        accuracy = mean([cells[lux].top1.value for lux in lights])
        rows.append(
            (
                model,
                NOTHING if accuracy is None else percent(accuracy),
                NOTHING if least is None else f"{points(gaps[least])} at {light_name(least)}",
                str(max(cell.passes for cell in cells.values())),
                NOTHING if seconds is None else f"{seconds:.3g} s",
            )
        )
    at = ", ".join(f"{lux:g}" for lux in lights)
    return Table(
        caption=f"Accuracy and cost, on {counted(study.cells)} photographs at each light level.",
        columns=("Model", "top-1, mean", "least against a specialist", "networks run", "time a photograph"),
        sections=(Section("", tuple(rows)),) if rows else (),
        notes=(
            f"Mean of top-1 over the light levels at which all models were judged, in lux: {at or 'none'}.",
            "Least: the smallest of the paired differences to the specialist of each light, in percentage points.",
            f"Time: {study.hardware}.",
        ),
    )


def confidence_table(study: LightStudy) -> Table:
    """Models down, light across: expected calibration error before and after the temperature, and the area under risk
    over coverage."""
    lights, models = lights_of(study), models_of(study)
    values: dict[str, dict[tuple[str, float], float | None]] = {
        "calibration error": {(c.model, c.judged_lux): c.calibration_error for c in study.cells},
        "calibration error after temperature": {
            (c.model, c.judged_lux): c.calibration_error_after for c in study.cells
        },
        "area under risk over coverage": {(curve.model, curve.lux): curve.area for curve in study.selective},
    }
    sections = []
    for heading, found in values.items():
        rows = [(model, *(_share(found.get((model, lux))) for lux in lights)) for model in models]
        kept = tuple(row for row in rows if set(row[1:]) != {NOTHING})
        if kept:
            sections.append(Section(heading, kept))
    return Table(
        caption=f"How far confidence can be trusted, on {counted(study.cells)} photographs; the lower the better.",
        columns=("Model", *map(light_name, lights)),
        sections=tuple(sections),
        notes=(
            "Calibration error: expected difference of confidence and accuracy, in 15 bins. Area: the mean over all "
            "coverages of the wrong among the most confident answers.",
        ),
    )


def to_csv(cells: Sequence[LightCell | Mismatch | RiskCurve], path: Path | str | None = None) -> str:
    """Records of one kind as CSV: every field as a plain number, e.g. `top1_low`; empty where there is none.

    A curve has a line for each of its points. Also written to `path` where one is given.

    Raises:
        ValueError: cells are of several kinds.
    """
    kinds = sorted({type(cell).__name__ for cell in cells})
    if len(kinds) > 1:
        raise ValueError(f"cells must be of one kind; found {', '.join(kinds)}")
    return rows_to_csv([row for cell in cells for row in _rows(cell)], path)


def common_lights(study: LightStudy) -> list[float]:
    """The light levels at which every model was judged, rising."""
    lights = [set(cells_of(study, model)) for model in models_of(study)]
    return sorted(set.intersection(*lights)) if lights else []


def counted(cells: Iterable[LightCell | Mismatch]) -> str:
    """How many photographs were judged: "1,000", or "500 or 1,000" where not all cells have as many."""
    return " or ".join(f"{count:,}" for count in sorted({cell.count for cell in cells})) or "no"


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of those that are there; None of none."""
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found else None


def _top1(cell: LightCell | Mismatch | None) -> str:
    if cell is None:
        return NOTHING
    return entry(cell.top1) + (HOME if isinstance(cell, LightCell) and cell.is_at_home else "")


def _gap(cell: LightCell | Mismatch | None) -> str:
    if cell is not None and isinstance(cell, LightCell) and cell.is_at_home:
        return "0"
    return entry(cell.difference if cell else None)


def _share(value: float | None) -> str:
    return NOTHING if value is None else percent(value)


def _factors(cell: Mismatch) -> tuple[float, ...]:
    """The factors of a row: one where only one figure is wrong or both equally, else alpha's and sigma's."""
    pair = (cell.alpha_factor, cell.sigma_factor)
    if wrong_of(cell) == "both" and pair[0] != pair[1]:
        return pair
    return (max(pair, key=lambda factor: factor != 1),)


def _rows(cell: LightCell | Mismatch | RiskCurve) -> list[dict[str, object]]:
    row: dict[str, object] = {}
    for name, value in flat(cell).items():
        if name == "trained_lux":
            low, high = value if isinstance(value, tuple) else (value, value)
            row |= {"trained_lux_low": low, "trained_lux_high": high}
        else:
            row[name] = value
    if not isinstance(cell, RiskCurve):
        return [row]
    points = zip(cell.threshold, cell.coverage, cell.risk, strict=True)
    return [row | dict(zip(("threshold", "coverage", "risk"), point, strict=True)) for point in points]
