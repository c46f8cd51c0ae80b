"""What a study found, in sentences computed from its numbers."""

from __future__ import annotations

from dirtypixels.study.results import Cell, Estimate, Study
from dirtypixels.study.tables import (
    cells_of,
    condition_name,
    conditions_of,
    conventional_of,
    mean,
    mean_top1,
    method_name,
    methods_of,
    percent,
    points,
    short_name,
)

WON = "the joint model named more photographs right than the fine-tuned classifier"
LOST = "the joint model named fewer photographs right than the fine-tuned classifier"
OPEN = "no difference between the joint model and the fine-tuned classifier is shown"


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
    for condition in conditions_of(study):
        joint = [cell for cell in cells_of(study, condition, "joint") if _against_finetuned(cell)]
        if joint:
            found[_verdict(joint)].append(_detail(study, condition, joint))
    found = {clause: [_unbroken(text) for text in details] for clause, details in found.items() if details}
    if found:
        counts = sorted({cell.count for cell in study.cells if cell.method == "joint" and _against_finetuned(cell)})
        photographs = " or ".join(f"{count:,}" for count in counts)
        return _unbroken(f"On {photographs} photographs (95 % intervals in brackets)"), found
    best = [_best(study, condition) for condition in conditions_of(study)]
    if not best:
        return "No results yet.", {}
    lead = "The study does not compare a joint model with a fine-tuned classifier; the best top-1 is"
    return f"{lead} {_join(best)}.", {}


def quality_and_accuracy(study: Study) -> list[str]:
    """Whether the joint unit's picture is worse by PSNR than the conventional method's, and read better: a sentence
    over all conditions, and one for each.

    "Below" and "above" say that the two 95 % intervals do not touch, for every seed where there are several. No
    sentences where a study does not hold both methods with a PSNR.
    """
    sentences, yes = [], 0
    for condition in conditions_of(study):
        name = conventional_of(study, condition)
        joint, other = (cells_of(study, condition, m) for m in ("joint", name or ""))
        if not joint or not other or any(cell.psnr is None for cell in (*joint, *other)):
            continue
        psnr = _compare(_psnrs(joint), _psnrs(other))
        top1 = _compare([cell.top1 for cell in joint], [cell.top1 for cell in other])
        yes += (psnr, top1) == ("below", "above")
        sentences.append(_quality(condition, joint, other, psnr, top1))
    if not sentences:
        return []
    counted = f"in {_of(yes, len(sentences))}"
    claim = "the joint unit's PSNR is below the conventional method's while its accuracy is above"
    if yes == len(sentences):
        lead = f"A better picture is not what the classifier needs: {counted}, {claim}."
    elif yes:
        lead = f"Only {counted}, {claim}; the others are the contrary or are not told apart."
    else:
        lead = f"The contrary of what was expected: in none of the conditions is it so that {claim}."
    return [f"{lead} PSNR counts brightness and contrast too, which training for the task leaves free.", *sentences]


def _of(some: int, every: int) -> str:
    if every == 1:
        return "the one condition compared"
    if some == every:
        return "both conditions" if every == 2 else f"all {every} conditions"
    return f"{some} of {every} conditions"


def _quality(condition: str, joint: list[Cell], other: list[Cell], psnr: str, top1: str) -> str:
    ours, theirs = mean(_psnrs(joint)), mean(_psnrs(other))
    right, their_right = mean(cell.top1 for cell in joint), mean(cell.top1 for cell in other)
    assert ours is not None
    assert theirs is not None
    assert right is not None
    assert their_right is not None
    name = short_name(other[0].method)
    fewer = min(cell.count for cell in other)
    limited = f" (judged on the first {fewer:,} only)" if fewer < min(cell.count for cell in joint) else ""
    text = (
        f"{_at(condition)} the joint unit's picture has {ours:.1f} dB, {psnr} the {theirs:.1f} dB of {name}{limited}; "
        f"its top-1 is {percent(right)}, {top1} the {percent(their_right)} of {name}."
    )
    return text[0].upper() + _unbroken(text[1:])


def _unbroken(text: str) -> str:
    """No line break between a number and its unit."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%").replace(" dB", "\N{NO-BREAK SPACE}dB")


def _psnrs(cells: list[Cell]) -> list[Estimate]:
    return [cell.psnr for cell in cells if cell.psnr is not None]


def _compare(ours: list[Estimate], theirs: list[Estimate]) -> str:
    if max(one.high for one in ours) < min(one.low for one in theirs):
        return "below"
    return "above" if min(one.low for one in ours) > max(one.high for one in theirs) else "not told apart from"


def _against_finetuned(cell: Cell) -> bool:
    return cell.difference is not None and cell.difference.reference == "finetuned"


def _verdict(joint: list[Cell]) -> str:
    gaps = [cell.difference for cell in joint if cell.difference]
    if all(gap.low > 0 for gap in gaps):
        return WON
    return LOST if all(gap.high < 0 for gap in gaps) else OPEN


def _detail(study: Study, condition: str, joint: list[Cell]) -> str:
    gaps = [cell.difference for cell in joint if cell.difference]
    ours, theirs = (mean_top1(study, condition, method) for method in ("joint", "finetuned"))
    levels = "" if ours is None or theirs is None else f"{percent(ours)} against {percent(theirs)} top-1: "
    if len(gaps) == 1:
        (gap,) = gaps
        inner = f"{points(gap.value)} points [{points(gap.low)}, {points(gap.high)}], {_p_value(gap.p_value)}"
    else:
        values = [gap.value for gap in gaps]
        clear = sum(gap.low > 0 or gap.high < 0 for gap in gaps)
        inner = (
            f"{points(sum(values) / len(values))} points, mean of {len(gaps)} seeds from {points(min(values))} to "
            f"{points(max(values))}; the interval excludes 0 for {clear or 'none'} of them"
        )
    return f"{_at(condition)} ({levels}{inner})"


def _p_value(p: float) -> str:
    text = "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _at(condition: str) -> str:
    name = condition_name(condition)
    return "on clean photographs" if name == "clean" else f"at {name}"


def _best(study: Study, condition: str) -> str:
    means = {method: mean_top1(study, condition, method) for method in methods_of(study)}
    best, value = max(((m, v) for m, v in means.items() if v is not None), key=lambda entry: entry[1])
    return f"{percent(value)} {_at(condition)} ({method_name(best)})"


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
