"""A study's numbers as tables, beside the paper's, for people (Markdown, LaTeX) and for programs (CSV)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dirtypixels import files
from dirtypixels.study.results import Cell, Difference, Estimate, Study

METHOD_NAMES = {
    "pretrained": "Pretrained",
    "nlm": "NLM + pretrained",
    "bm3d": "BM3D + pretrained",
    "unit": "Denoiser + pretrained",
    "finetuned": "Fine-tuned",
    "joint": "Joint",
}
NOTHING = "–"
_PARTS = {
    **dict.fromkeys(("top1", "top5", "psnr"), tuple(Estimate.model_fields)),
    "difference": tuple(Difference.model_fields),
}

PAPER_CAMERA = "nexus-6p-rear"
PAPER_TRANSFER = "linear"
PAPER: dict[str, dict[str, tuple[float, float]]] = {
    "3lux": {
        "pretrained": (0.4554, 0.6853),
        "nlm": (0.3219, 0.5212),
        "bm3d": (0.4743, 0.7035),
        "finetuned": (0.6449, 0.8573),
        "joint": (0.6958, 0.8930),
    },
    "6lux": {
        "pretrained": (0.6357, 0.8451),
        "nlm": (0.5604, 0.7785),
        "bm3d": (0.6700, 0.8747),
        "finetuned": (0.7319, 0.9132),
        "joint": (0.7479, 0.9234),
    },
}
"""Top-1 and top-5 by condition and method: Diamond et al. 2017, Table 2, its first two conditions."""


@dataclass(frozen=True)
class Table:
    """Cells as text, under headings of two levels.

    Args:
        caption: a sentence.
        groups: (heading, number of columns) over all columns but the first, in order.
        columns: the headings under them; the first is that of the rows' names.
        rows: each as long as `columns`.
        notes: sentences that belong under the table.
    """

    caption: str
    groups: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def method_name(key: str) -> str:
    """How a method is called in tables and figures; a key that is not in METHOD_NAMES is its own name."""
    return METHOD_NAMES.get(key, key)


def condition_name(key: str) -> str:
    """How a condition is called: "3lux" is "3 lux"."""
    return re.sub(r"(\d)lux\b", r"\1 lux", key)


def conditions_of(study: Study) -> list[str]:
    """The conditions' keys, in the study's order."""
    return list(dict.fromkeys(cell.condition for cell in study.cells))


def methods_of(study: Study) -> list[str]:
    """The methods' keys, in the study's order: that of the condition with the most of them, then any others."""
    per_condition = [
        dict.fromkeys(cell.method for cell in study.cells if cell.condition == key) for key in conditions_of(study)
    ]
    return list(dict.fromkeys(method for order in sorted(per_condition, key=len, reverse=True) for method in order))


def cells_of(study: Study, condition: str, method: str) -> list[Cell]:
    """The cells of one condition and method: one per seed, none where it was not run."""
    return [cell for cell in study.cells if (cell.condition, cell.method) == (condition, method)]


def method_table(study: Study) -> Table:
    """Methods down, conditions across: top-1, top-5, PSNR and the difference in top-1 to the reference method.

    A column that no method fills is left out; a method trained with several seeds has a row for each.
    """
    seeds = {cell.seed for cell in study.cells}
    runs = dict.fromkeys(
        (cell.method, cell.seed) for method in methods_of(study) for cell in study.cells if cell.method == method
    )
    references = {cell.difference.reference for cell in study.cells if cell.difference}
    headings = {"top1": "top-1", "top5": "top-5", "psnr": "PSNR", "difference": "top-1 gain"}

    groups: list[tuple[str, int]] = []
    picked: list[tuple[str, str]] = []
    for condition in conditions_of(study):
        here = [cell for cell in study.cells if cell.condition == condition]
        fields = [field for field in headings if any(getattr(cell, field) is not None for cell in here)]
        groups.append((condition_name(condition), len(fields)))
        picked += [(condition, field) for field in fields]

    by_key = {(cell.condition, cell.method, cell.seed): cell for cell in study.cells}
    most = max((cell.count for cell in study.cells), default=0)
    rows = []
    for method, seed in runs:
        name = method_name(method) + (f", seed {seed}" if len(seeds) > 1 else "")
        found = [(by_key.get((condition, method, seed)), field) for condition, field in picked]
        fewer = {cell.count for cell, _ in found if cell and cell.count < most}
        name += "".join(f" (first {count:,})" for count in sorted(fewer))
        rows.append(
            (name, *(_entry(getattr(cell, field), len(references) > 1) if cell else NOTHING for cell, field in found))
        )
    counts = sorted({cell.count for cell in study.cells})
    photographs = " or ".join(f"{count:,}" for count in counts) or "no"
    notes = ["Intervals: Wilson's for top-1 and top-5, Student's t for the PSNR, Tango's for the paired gain."]
    if references:
        named = method_name(min(references)) if len(references) == 1 else "the named method"
        notes.append(f"Gain: top-1 minus that of {named} on the same photographs, in percentage points.")
    return Table(
        caption=f"Accuracy on {photographs} photographs, with 95 % intervals.",
        groups=tuple(groups),
        columns=("Method", *(headings[field] for _, field in picked)),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def beside_paper(study: Study) -> Table:
    """Top-1 of this study and of the paper's Table 2, for the conditions and methods that both have.

    The last row is the joint model minus the fine-tuned classifier. A table with no rows where nothing matches.
    """
    conditions = [key for key in conditions_of(study) if key in PAPER]
    methods = [
        method
        for method in methods_of(study)
        if any(method in PAPER[key] and cells_of(study, key, method) for key in conditions)
    ]
    rows = [
        (
            method_name(method),
            *(text for key in conditions for text in (_ours(study, key, method), _theirs(key, method))),
        )
        for method in methods
    ]
    if {"joint", "finetuned"} <= set(methods):
        gaps = [text for key in conditions for text in (_our_gap(study, key), _their_gap(key))]
        rows.append((f"{method_name('joint')} minus {method_name('finetuned')}", *gaps))
    notes = [
        "The paper (Diamond et al. 2017, Table 2) used Inception-v4 on ImageNet at 299 px with 1000 classes; this "
        "study used another network and other data, so the order of the methods and the gaps between them can be "
        "compared, not the levels."
    ]
    if study.camera != PAPER_CAMERA or study.transfer != PAPER_TRANSFER:
        notes.append(
            f"The paper simulated the camera {PAPER_CAMERA} with the transfer {PAPER_TRANSFER}; this study "
            f"{study.camera} with {study.transfer}, so the same lux is not the same noise."
        )
    if any(len(cells_of(study, key, method)) > 1 for key in conditions for method in methods):
        notes.append("Ours is the mean over the seeds.")
    return Table(
        caption="Top-1 accuracy beside the paper's.",
        groups=tuple((condition_name(key), 2) for key in conditions) if rows else (),
        columns=("Method", *(("ours", "paper") * len(conditions))) if rows else ("Method",),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def to_markdown(source: Study | Table, path: Path | str | None = None) -> str:
    """A table (of a study: its `method_table`) as Markdown; also written to `path` where one is given."""
    table = source if isinstance(source, Table) else method_table(source)
    headings = [table.columns[0], *(f"{group} {column}" for group, column in _grouped(table))]
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *table.rows]
    body = "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
    return _out("\n\n".join([table.caption, body, *table.notes]) + "\n", path)


def to_latex(source: Study | Table, path: Path | str | None = None) -> str:
    """A table (of a study: its `method_table`) as a LaTeX tabular that needs the package booktabs; caption and notes
    are comments over it. Also written to `path` where one is given."""
    table = source if isinstance(source, Table) else method_table(source)
    spans, rules, start = [], [], 2
    for heading, width in table.groups:
        spans.append(f"\\multicolumn{{{width}}}{{c}}{{{_latex(heading)}}}")
        rules.append(f"\\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    lines = [f"% {' '.join(text.split())}" for text in (table.caption, *table.notes)]
    lines += [f"\\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}", "\\toprule"]
    if spans:
        lines += [" & ".join(["", *spans]) + " \\\\", "".join(rules)]
    lines += [" & ".join(map(_latex, table.columns)) + " \\\\", "\\midrule"]
    # "{}" keeps a cell that starts with a bracket from being read as the argument of the line break before it.
    lines += [
        " & ".join("{}" + _latex(text) if text.startswith("[") else _latex(text) for text in row) + " \\\\"
        for row in table.rows
    ]
    return _out("\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n", path)


def to_csv(study: Study, path: Path | str | None = None) -> str:
    """One line per cell with every field as a plain number, e.g. `top1_low`; empty where there is none.

    Also written to `path` where one is given.
    """
    columns = [(field, part) for field in Cell.model_fields for part in _PARTS.get(field, ("",))]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(f"{field}_{part}" if part else field for field, part in columns)
    for cell in study.cells:
        found = cell.model_dump()
        values = [(found[field] or {}).get(part) if part else found[field] for field, part in columns]
        writer.writerow("" if value is None else value for value in values)
    return _out(file.getvalue(), path)


def percent(fraction: float) -> str:
    """A fraction as "74.4 %"."""
    return f"{100 * fraction:.1f} %"


def points(difference: float) -> str:
    """A difference of fractions in percentage points, signed: "+5.1", "−0.3"."""
    rounded = round(100 * difference, 1) + 0.0  # no "−0.0"
    return f"{rounded:+.1f}".replace("-", "−")


def _entry(value: Estimate | Difference | None, name_reference: bool) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, Difference):
        to = f" to {method_name(value.reference)}" if name_reference else ""
        return f"{points(value.value)}{to} [{points(value.low)}, {points(value.high)}]"
    if value.unit == "fraction":
        return f"{percent(value.value)} [{100 * value.low:.1f}, {100 * value.high:.1f}]"
    return f"{value.value:.1f} dB [{value.low:.1f}, {value.high:.1f}]"


def mean_top1(study: Study, condition: str, method: str) -> float | None:
    """Top-1, the mean over the seeds; None where it was not run."""
    found = [cell.top1.value for cell in cells_of(study, condition, method)]
    return sum(found) / len(found) if found else None


def _ours(study: Study, condition: str, method: str) -> str:
    found = cells_of(study, condition, method)
    if len(found) == 1:
        return _entry(found[0].top1, False)
    mean = mean_top1(study, condition, method)
    return NOTHING if mean is None else percent(mean)


def _theirs(condition: str, method: str) -> str:
    return percent(PAPER[condition][method][0]) if method in PAPER[condition] else NOTHING


def _our_gap(study: Study, condition: str) -> str:
    joint, tuned = (mean_top1(study, condition, method) for method in ("joint", "finetuned"))
    if joint is None or tuned is None:
        return NOTHING
    found = cells_of(study, condition, "joint")
    if len(found) == 1 and found[0].difference and found[0].difference.reference == "finetuned":
        return _entry(found[0].difference, False)
    return points(joint - tuned)


def _their_gap(condition: str) -> str:
    return points(PAPER[condition]["joint"][0] - PAPER[condition]["finetuned"][0])


def _grouped(table: Table) -> Iterator[tuple[str, str]]:
    over = [heading for heading, width in table.groups for _ in range(width)]
    return zip(over, table.columns[1:], strict=True)


def _latex(text: str) -> str:
    special = {
        "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "$": "\\$", "&": "\\&", "#": "\\#", "%": "\\%", "_": "\\_",
        "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "−": "$-$", "–": "--",
    }  # fmt: skip
    return "".join(special.get(letter, letter) for letter in text)


def _out(text: str, path: Path | str | None) -> str:
    if path is not None:
        files.write_text(path, text)
    return text
