"""What a study found, in sentences computed from its numbers."""

from __future__ import annotations

from typing import NamedTuple

from dirtypixels.study import tables
from dirtypixels.study.results import Cell, Difference, Study
from dirtypixels.study.tables import condition_name, entry, light_name, percent, points

WON = "the joint model named more photographs right than the fine-tuned classifier"
LOST = "the joint model named fewer photographs right than the fine-tuned classifier"
OPEN = "no difference between the joint model and the fine-tuned classifier is shown"
FROZEN = {
    "nlm_finetuned": "behind non-local means", "bm3d_finetuned": "behind BM3D", "hqs_finetuned": "behind HQS",
    "unit_finetuned": "behind the frozen unit",
}  # fmt: skip
"""How the classifier was fine-tuned, in a sentence, where not on the capture itself."""
MARGIN = 0.01
"""How far the model for every light may be behind a specialist at that specialist's light."""
ROUNDING = 1e-12


def headline(study: Study) -> str:
    """What the study found about the joint model against the fine-tuned classifier, in one sentence."""
    lead, clauses = findings(study)
    if not clauses:
        return lead
    return f"{lead} {'; '.join(f'{clause} {_join(details)}' for clause, details in clauses.items())}."


def findings(study: Study) -> tuple[str, dict[str, list[str]]]:
    """The headline in parts: its beginning, and each clause with what it says of each condition.

    A condition counts as won or lost where the 95 % interval of the paired difference excludes 0 (for every seed, where
    there are several), and as open otherwise. Without such a comparison the sentence names each condition's best
    method, and there are no clauses.
    """
    found: dict[str, list[str]] = {WON: [], LOST: [], OPEN: []}
    for condition in tables.conditions_of(study):
        for method in joint_of(study):
            joint = [cell for cell in tables.cells_of(study, condition, method) if cell.to("finetuned")]
            if joint:
                found[_verdict(joint)].append(_detail(study, condition, joint))
    found = {clause: [_unbroken(text) for text in details] for clause, details in found.items() if details}
    if found:
        compared = [cell for cell in study.part("methods") if cell.model.method == "joint" and cell.to("finetuned")]
        counts = sorted({cell.count for cell in compared})
        photographs = " or ".join(f"{count:,}" for count in counts)
        counts = sorted({len(cell.trainings) for cell in compared if cell.trainings})
        trainings = f" in {' or '.join(map(str, counts))} trainings" if counts else ""
        return _unbroken(f"On {photographs} photographs{trainings} (95 % intervals in brackets)"), found
    best = [_best(study, condition) for condition in tables.conditions_of(study)]
    if not best:
        return "No results yet.", {}
    lead = "The study does not compare a joint model with a fine-tuned classifier; the best top-1 is"
    return f"{lead} {_join(best)}.", {}


def controls(study: Study) -> list[str]:
    """What a restoration that is frozen gives when the classifier is fine-tuned behind it, and what training the unit
    too adds to that: a sentence over all conditions, and one for each condition and unit.

    No sentences where a study has no frozen restoration.
    """
    sentences, verdicts = [], []
    for condition in tables.conditions_of(study):
        found = [cell for cell in study.part("methods") if cell.condition == condition]
        for cell in found:
            how, gap = FROZEN.get(cell.model.method), cell.to("finetuned")
            if how is None or (gap is None and cell.model.method != "unit_finetuned"):
                continue
            given = f"{percent(cell.top1.value)} top-1"
            if gap is not None:
                given += f", {_gap(gap, ' over fine-tuning on the capture itself')}"
            text = f"{_at(condition)} the classifier fine-tuned {how}{_of_unit(cell)} has {given}"
            alike = (
                c for c in found if (c.model.method, c.model.unit, c.seed) == ("joint", cell.model.unit, cell.seed)
            )
            joint = next(alike, None)
            added = joint.to("unit_finetuned") if joint and cell.model.method == "unit_finetuned" else None
            if joint and added:
                verdicts.append((added.low > 0) - (added.high < 0))
                text += f"; training the unit too gives {percent(joint.top1.value)}, {_gap(added, ' over that')}"
            sentences.append(text[0].upper() + _unbroken(text[1:]) + ".")
    if not sentences:
        return []
    if not verdicts:
        return [
            "The study does not compare a joint model with the classifier fine-tuned behind the same unit.",
            *sentences,
        ]
    more, less, every = verdicts.count(1), verdicts.count(-1), len(verdicts)
    if more == every:
        said = f"adds accuracy in {_of(more, every)}"
    elif less == every:
        said = f"costs accuracy in {_of(less, every)}"
    elif not more and not less:
        said = f"makes no difference that is shown, in {_of(every, every)}"
    else:
        shown = f"adds accuracy in {more or 'none'} of {every} comparisons and costs it in {less or 'none'}"
        said = f"{shown}; no difference is shown in the others" if more + less < every else shown
    lead = f"Training the unit together with the classifier, in place of fine-tuning behind the frozen unit, {said}."
    return [lead + " Both start from the same pretrained unit and classifier, with the same budget.", *sentences]


def joint_of(study: Study) -> list[str]:
    """The keys of the joint models, one for each of the recipe's units."""
    return [key for key in tables.methods_of(study) if key.partition(":")[0] == "joint"]


def quality_and_accuracy(study: Study) -> list[str]:
    """Whether the joint unit's picture is worse by PSNR than the conventional method's, and read better: a sentence
    over all conditions, and one for each.

    "Below" and "above" say that the two 95 % intervals do not touch, for every seed where there are several. No
    sentences where a study does not hold both methods with a PSNR.
    """
    sentences, yes = [], 0
    for condition, method in ((c, m) for c in tables.conditions_of(study) for m in joint_of(study)):
        name = tables.conventional_of(study, condition)
        joint, other = (tables.cells_of(study, condition, m) for m in (method, name or ""))
        if not joint or not other or any(cell.psnr is None for cell in (*joint, *other)):
            continue
        psnr, ours, theirs = _compare(joint, other, "psnr")
        top1, right, their_right = _compare(joint, other, "top1")
        yes += (psnr, top1) == ("below", "above")
        usual, fewer = tables.short_name(other[0].method), min(cell.count for cell in other)
        limited = f" (evaluated on the first {fewer:,} only)" if fewer < min(cell.count for cell in joint) else ""
        matched = _matched(joint, other, usual)
        text = (
            f"{_at(condition)} the joint unit's picture{_of_unit(joint[0])} has {ours:.1f} dB, {psnr} the "
            f"{theirs:.1f} dB of {usual}{limited}{matched}; its top-1 is {percent(right)}, {top1} the "
            f"{percent(their_right)} of {usual}."
        )
        sentences.append(text[0].upper() + _unbroken(text[1:]))
    if not sentences:
        return []
    counted = f"in {_of(yes, len(sentences))}"
    claim = "the joint unit's PSNR is below the conventional method's while its accuracy is above"
    if yes == len(sentences):
        lead = f"{counted[0].upper()}{counted[1:]}, {claim}."
    elif yes:
        lead = f"Only {counted}, {claim}; the others are the contrary or are not told apart."
    else:
        lead = f"The contrary of what was expected: in none of the conditions is it so that {claim}."
    free = "PSNR counts brightness and contrast too, which training for the task leaves free"
    if not any("psnr_affine" in cell.metrics for cell in study.part("methods")):
        free += "; how good the pictures are after the best gain and offset was not measured, so a low PSNR says little"
    return [f"{lead} {free}.", *sentences]


def _matched(joint: list[Cell], other: list[Cell], usual: str) -> str:
    """The same comparison of pictures after the best gain and offset, as a clause; empty where not computed."""
    if any("psnr_affine" not in cell.metrics for cell in (*joint, *other)):
        return ""
    said, ours, theirs = _compare(joint, other, "psnr_affine")
    return f", and after the best gain and offset {ours:.1f} dB, {said} the {theirs:.1f} dB of {usual}"


def _of(some: int, every: int) -> str:
    if every == 1:
        return "the one condition compared"
    if some == every:
        return "both conditions" if every == 2 else f"all {every} conditions"
    return f"{some} of {every} conditions"


def _compare(ours: list[Cell], theirs: list[Cell], metric: str) -> tuple[str, float, float]:
    """Where ours is, in words, and both means over the seeds."""
    found = [[cell.metrics[metric] for cell in cells] for cells in (ours, theirs)]
    (low, high), (their_low, their_high) = (
        (min(one.interval[0] for one in every), max(one.interval[1] for one in every)) for every in found
    )
    said = "below" if high < their_low else "above" if low > their_high else "not told apart from"
    mean, their_mean = (sum(one.value for one in every) / len(every) for every in found)
    return said, mean, their_mean


def _unbroken(text: str) -> str:
    """No line break between a number and its unit."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%").replace(" dB", "\N{NO-BREAK SPACE}dB")


def _of_unit(cell: Cell) -> str:
    return f" ({cell.model.unit})" if cell.model.unit else ""


def _verdict(joint: list[Cell]) -> str:
    gaps = [gap for cell in joint if (gap := cell.to("finetuned"))]
    if all(gap.low > 0 for gap in gaps):
        return WON
    return LOST if all(gap.high < 0 for gap in gaps) else OPEN


def _detail(study: Study, condition: str, joint: list[Cell]) -> str:
    gaps = [gap for cell in joint if (gap := cell.to("finetuned"))]
    ours, theirs = (tables.mean_of(study, condition, method) for method in (joint[0].method, "finetuned"))
    levels = "" if ours is None or theirs is None else f"{percent(ours)} against {percent(theirs)} top-1: "
    if len(gaps) == 1:
        (gap,) = gaps
        inner = f"{_gap(gap)}, {_p_value(gap.p_value)}"
    else:
        values = [gap.value for gap in gaps]
        clear = sum(gap.low > 0 or gap.high < 0 for gap in gaps)
        inner = (
            f"{points(sum(values) / len(values))} points, mean of {len(gaps)} seeds from {points(min(values))} to "
            f"{points(max(values))}; the interval excludes 0 for {clear or 'none'} of them"
        )
    return f"{_at(condition)}{_of_unit(joint[0])} ({levels}{inner})"


def _gap(gap: Difference, over: str = "") -> str:
    """A paired difference with its interval, and how far single trainings are apart where there are several."""
    text = f"{points(gap.value)} points [{points(gap.low)}, {points(gap.high)}]{over}"
    if not gap.trainings:
        return text
    low, high = points(min(gap.trainings)), points(max(gap.trainings))
    return f"{text}, from {low} to {high} in single trainings"


def _p_value(p: float) -> str:
    text = "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _at(condition: str) -> str:
    name = condition_name(condition)
    return "on clean photographs" if name == "clean" else f"at {name}"


def _best(study: Study, condition: str) -> str:
    means = {method: tables.mean_of(study, condition, method) for method in tables.methods_of(study)}
    best, value = max(((m, v) for m, v in means.items() if v is not None), key=lambda entry: entry[1])
    return f"{percent(value)} {_at(condition)} ({tables.method_name(best)})"


Lights = dict[float, Cell]


class _Away(NamedTuple):
    """The model for every light minus a specialist, at a light that is not the specialist's."""

    gain: float
    clear: bool  # the two intervals do not touch
    text: str
    shown_behind: bool = False


def light_findings(study: Study) -> list[str]:
    """Sentences: whether each conditioned model is at most 1 point behind every specialist at its light and ahead of it
    elsewhere, and how wrong alpha and sigma may be. What it costs and what its confidences are worth is in tables.

    "Within" and "at most" are said only where the whole 95 % interval of the paired difference is above minus the
    margin; a loss whose interval is not is behind where all of it is below, and open otherwise. "Ahead" is of the
    estimates; the sentence also says for how many of them the intervals do not touch.
    """
    models = tables.over_light(study)
    conditioned = [model for model, cells in models.items() if _kind(cells) == "conditioned"]
    sentences = [] if conditioned else ["The study holds no conditioned model."]
    for model in conditioned:
        sentences += _goal(models, model)
    return [*sentences, *_wrong_noise(study)]


def _goal(models: dict[str, Lights], model: str) -> list[str]:
    homes = {lux: (cell, gap) for lux, cell in models[model].items() if (gap := cell.difference)}
    if not homes:
        return [f"The {model} model was evaluated at no light level that has a specialist."]
    near = [lux for lux, (cell, _) in homes.items() if _is_borne(cell)]
    far = [light_name(lux) for lux, (_, gap) in homes.items() if gap.high < -MARGIN - ROUNDING]
    open_ = [light_name(lux) for lux in homes if lux not in near and light_name(lux) not in far]
    listed = _join([f"{entry(gap)} at {light_name(lux)}" for lux, (_, gap) in homes.items()])
    first = (
        f"At the specialists' own light the {model} model is shown to be at most {100 * MARGIN:g} point behind "
        f"{_specialists(len(near), len(homes))}: {listed} points (95 % intervals in brackets)."
    )
    if far:
        first += f" It is shown to be further behind at {_join(far)}."
    if open_:
        first += f" Neither is shown at {_join(open_)}, where the interval holds −{100 * MARGIN:g}."

    away = _away(models, model)
    if not away:
        return [first, "No specialist was evaluated at another light than its own."]
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
    if len(near) == len(homes) and len(ahead) == len(away) == clear:
        met = "is met"
    elif far or any(one.shown_behind for one in behind):
        met = "is not met"
    else:
        met = "is not shown to be met"
    goal = f"at most {100 * MARGIN:g} point behind each specialist at its light, and ahead of it elsewhere"
    return [first, second, f"The goal, {goal}, {met} by the {model} model."]


def _away(models: dict[str, Lights], model: str) -> list[_Away]:
    found = []
    for other, cells in models.items():
        for lux, cell in cells.items():
            if _kind(cells) != "specialist" or cell.is_at_home or lux not in models[model]:
                continue
            (low, high), (their_low, their_high) = models[model][lux].top1.interval, cell.top1.interval
            gain = models[model][lux].top1.value - cell.top1.value
            text = f"{points(gain)} points at {light_name(lux)} against {other}"
            found.append(_Away(gain, low > their_high, text, high < their_low))
    return found


def _wrong_noise(study: Study) -> list[str]:
    sentences = []
    for (model, lux), cells in tables.told_wrong(study).items():
        borne = []
        for kind in tables.WRONG:
            wrong = {factor: cell for factor, cell in tables.along(cells, kind).items() if factor != 1}
            if wrong:
                borne.append(f"{kind} {_borne(wrong)}")
        if borne:
            sentences.append(
                f"At {light_name(lux)} the {model} model is shown to lose at most {100 * MARGIN:g} point while told "
                f"{'; '.join(borne)}."
            )
    return sentences


def _borne(wrong: dict[float, Cell]) -> str:
    """The factors around 1 up to which the loss is shown to stay within the margin, and what is lost at the ends."""
    ends = []
    for side in (sorted((f for f in wrong if f < 1), reverse=True), sorted(f for f in wrong if f > 1)):
        good = 1.0
        for factor in side:
            if not _is_borne(wrong[factor]):
                break
            good = factor
        ends.append(good)
    extremes = _join([f"×{f:g}: {entry(wrong[f].difference)}" for f in (min(wrong), max(wrong))])
    within = f"between ×{ends[0]:g} and ×{ends[1]:g}" if ends != [1.0, 1.0] else "by no factor"
    return f"{within} ({extremes} points)"


def _is_borne(cell: Cell) -> bool:
    """Whether the whole interval of the difference is above minus the margin."""
    return cell.difference is None or cell.difference.low >= -MARGIN - ROUNDING


def _kind(cells: Lights) -> str:
    return next(iter(cells.values())).model.kind


def _specialists(some: int, every: int) -> str:
    if some == every:
        return "the one specialist" if every == 1 else f"each of the {every} specialists"
    return "no specialist" if every == 1 else f"{some or 'none'} of the {every} specialists"


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
