"""What a light study found, in sentences computed from its numbers."""

from __future__ import annotations

from typing import NamedTuple

from dirtypixels.study.light_results import LightCell, LightStudy, Mismatch
from dirtypixels.study.light_tables import (
    WRONG,
    cells_of,
    common_lights,
    mean,
    mismatch_of,
    models_of,
    wrong_of,
)
from dirtypixels.study.tables import entry, light_name, percent, points

MARGIN = 0.01
"""How far the model for every light may be behind a specialist at that specialist's light."""
ROUNDING = 1e-12


class _Away(NamedTuple):
    """The model for every light minus a specialist, at a light that is not the specialist's."""

    gain: float
    clear: bool  # the two intervals do not touch
    text: str


def light_findings(study: LightStudy) -> list[str]:
    """Sentences: whether each conditioned model is within 1 point of every specialist at its light and ahead of it
    elsewhere, what the other models are to it, how wrong alpha and sigma may be, and what the confidences are worth.

    Whatever is not within the margin or not ahead is named with its number. "Within" and "ahead" are of the
    estimates; the sentences also say for how many of them the 95 % intervals show it.
    """
    conditioned = [m for m in models_of(study) if _kind(study, m) == "conditioned"]
    sentences = [] if conditioned else ["The study holds no conditioned model."]
    for model in conditioned:
        sentences += [*_goal(study, model), *_others(study, model)]
    return [*sentences, *_mismatches(study), *_calibration(study), *_areas(study)]


def _goal(study: LightStudy, model: str) -> list[str]:
    homes = {lux: cell for lux, cell in cells_of(study, model).items() if cell.difference}
    if not homes:
        return [f"The {model} model was judged at no light level that has a specialist."]
    near = {lux for lux, cell in homes.items() if _loss(cell) <= MARGIN + ROUNDING}
    shown = sum(cell.difference.low >= -MARGIN - ROUNDING for cell in homes.values() if cell.difference)
    far = [
        f"{light_name(lux)} by {100 * (_loss(cell) - MARGIN):.1f} points"
        for lux, cell in homes.items()
        if lux not in near
    ]
    listed = _join([f"{entry(cell.difference)} at {light_name(lux)}" for lux, cell in homes.items()])
    first = (
        f"At the specialists' own light the {model} model is within {100 * MARGIN:g} point of {_of(near, homes)}: "
        f"{listed} points (95 % intervals in brackets; the whole interval is within for {shown or 'none'} of "
        f"{len(homes)})."
    )
    if far:
        first += f" It is too far behind at {_join(far)}."

    away = _away(study, model)
    if not away:
        return [first, "No specialist was judged at another light than its own."]
    ahead = [one for one in away if one.gain > 0]
    behind = sorted((one for one in away if one.gain <= 0), key=lambda one: one.gain)
    clear = sum(one.clear for one in ahead)
    second = f"Elsewhere it is ahead of the specialist in {len(ahead)} of {len(away)} comparisons"
    if ahead:
        least, most = min(ahead), max(ahead)
        second += f", from {least.text} to {most.text}; in {clear or 'none'} of them the 95 % intervals do not touch"
    second += "."
    if behind:
        second += f" It is behind or level there: {_join([one.text for one in behind])}."
    met = "is met" if len(near) == len(homes) and not behind else "is not met"
    goal = f"within {100 * MARGIN:g} point of each specialist at its light, and ahead of it elsewhere"
    return [first, second, f"The goal, {goal}, {met} by the {model} model."]


def _away(study: LightStudy, model: str) -> list[_Away]:
    found = []
    ours = cells_of(study, model)
    for cell in study.cells:
        if cell.kind != "specialist" or cell.is_at_home or cell.judged_lux not in ours:
            continue
        own = ours[cell.judged_lux].top1
        gain = own.value - cell.top1.value
        text = f"{points(gain)} points at {light_name(cell.judged_lux)} against {cell.model}"
        found.append(_Away(gain, own.low > cell.top1.high, text))
    return found


def _others(study: LightStudy, model: str) -> list[str]:
    """The model next to those that are no specialists, over all light levels."""
    sentences = []
    ours = cells_of(study, model)
    for other in models_of(study):
        theirs = cells_of(study, other)
        both = [lux for lux in ours if lux in theirs]
        if other == model or _kind(study, other) == "specialist" or not both:
            continue
        gains = {lux: ours[lux].top1.value - theirs[lux].top1.value for lux in both}
        low, high = min(gains, key=lambda lux: gains[lux]), max(gains, key=lambda lux: gains[lux])
        average = sum(gains.values()) / len(gains)
        sentences.append(
            f"The {model} model ({_cost(ours)}) gives {points(average)} points against {other} ({_cost(theirs)}), mean "
            f"over {_levels(len(gains))}: from {points(gains[low])} at {light_name(low)} to {points(gains[high])} at "
            f"{light_name(high)}."
        )
    return sentences


def _mismatches(study: LightStudy) -> list[str]:
    sentences = []
    for model, lux in dict.fromkeys((m.model, m.lux) for m in study.mismatch):
        cells = mismatch_of(study, model, lux)
        borne = []
        for kind in WRONG:
            wrong = {m.alpha_factor if kind != "sigma" else m.sigma_factor: m for m in cells if _is_row(m, kind)}
            if wrong:
                borne.append(f"{kind} {_borne(wrong)}")
        if borne:
            sentences.append(
                f"At {light_name(lux)} the {model} model loses at most {100 * MARGIN:g} point while told "
                f"{'; '.join(borne)}."
            )
    return sentences


def _is_row(cell: Mismatch, kind: str) -> bool:
    return wrong_of(cell) == kind and (kind != "both" or cell.alpha_factor == cell.sigma_factor)


def _borne(wrong: dict[float, Mismatch]) -> str:
    """The factors around 1 up to which the loss stays within the margin, and what is lost at the ends."""
    ends = []
    for side in (sorted((f for f in wrong if f < 1), reverse=True), sorted(f for f in wrong if f > 1)):
        good = 1.0
        for factor in side:
            if _loss(wrong[factor]) > MARGIN + ROUNDING:
                break
            good = factor
        ends.append(good)
    extremes = _join([f"×{f:g}: {entry(wrong[f].difference)}" for f in (min(wrong), max(wrong)) if f in wrong])
    return f"between ×{ends[0]:g} and ×{ends[1]:g} ({extremes} points)"


def _calibration(study: LightStudy) -> list[str]:
    changed = []
    for model in models_of(study):
        cells = cells_of(study, model).values()
        both = [
            (cell.calibration_error, cell.calibration_error_after)
            for cell in cells
            if cell.calibration_error is not None and cell.calibration_error_after is not None
        ]
        before, after = mean([one for one, _ in both]), mean([one for _, one in both])
        if before is not None and after is not None:
            changed.append(f"{percent(before)} to {percent(after)} for {model}")
    if not changed:
        return []
    return [f"Temperature takes the expected calibration error, mean over the light levels, from {_join(changed)}."]


def _areas(study: LightStudy) -> list[str]:
    lights = common_lights(study)
    areas = {(curve.model, curve.lux): curve.area for curve in study.selective}
    means = {
        model: sum(areas[model, lux] for lux in lights) / len(lights)
        for model in models_of(study)
        if lights and all((model, lux) in areas for lux in lights)
    }
    if len(means) < 2:
        return []
    ordered = sorted(means, key=lambda model: means[model])
    listed = _join([f"{model} {percent(means[model])}" for model in ordered])
    return [f"Area under risk over coverage, mean over {_levels(len(lights))}, from the best to the worst: {listed}."]


def _loss(cell: LightCell | Mismatch) -> float:
    return 0.0 if cell.difference is None else -cell.difference.value


def _kind(study: LightStudy, model: str) -> str:
    return next(cell.kind for cell in study.cells if cell.model == model)


def _cost(cells: dict[float, LightCell]) -> str:
    passes = max(cell.passes for cell in cells.values())
    seconds = mean([cell.seconds_per_image for cell in cells.values()])
    time = "" if seconds is None else f", {seconds:.3g} s a photograph"
    return f"{passes} network{'s' if passes > 1 else ''}{time}"


def _levels(count: int) -> str:
    return "one light level" if count == 1 else f"{count} light levels"


def _of(some: set[float], every: dict[float, LightCell]) -> str:
    if len(some) == len(every):
        return "the one specialist" if len(every) == 1 else f"each of the {len(every)} specialists"
    return f"{len(some) or 'none'} of the {len(every)} specialists"


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
