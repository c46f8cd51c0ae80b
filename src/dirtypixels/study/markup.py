"""Tables as text: Markdown and LaTeX for people, CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from dirtypixels.study.results import Cell, Difference, Estimate
from dirtypixels.study.tables import Table

_PLAIN = (
    "condition", "lux", "position", "alpha_factor", "sigma_factor", "seed", "count", "temperature", "seconds_per_image",
)  # fmt: skip

_DIFFERENCE = [part for part in Difference.model_fields if part != "trainings"]


def to_markdown(table: Table) -> str:
    """A table as Markdown."""
    width = len(table.columns)
    lines: list[Sequence[str]] = [table.headings, ["---", *["---:"] * (width - 1)]]
    for section in table.sections:
        if section.heading:
            lines.append([f"**{section.heading}**", *[""] * (width - 1)])
        lines += section.rows
    body = "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
    return "\n\n".join([table.caption, body, *table.notes]) + "\n"


def to_latex(table: Table) -> str:
    """A table as a LaTeX tabular that needs the package booktabs; caption and notes are comments over it."""
    width, spans, rules, start = len(table.columns), [], [], 2
    for heading, across in table.groups:
        spans.append(f"\\multicolumn{{{across}}}{{c}}{{{_latex(heading)}}}")
        rules.append(f"\\cmidrule(lr){{{start}-{start + across - 1}}}")
        start += across
    lines = [f"% {' '.join(text.split())}" for text in (table.caption, *table.notes)]
    lines += [f"\\begin{{tabular}}{{l{'r' * (width - 1)}}}", "\\toprule"]
    if spans:
        lines += [" & ".join(["", *spans]) + " \\\\", "".join(rules)]
    lines.append(" & ".join(map(_latex, table.columns)) + " \\\\")
    for section in table.sections:
        lines.append("\\midrule")
        if section.heading:
            lines.append(f"\\multicolumn{{{width}}}{{l}}{{\\textit{{{_latex(section.heading)}}}}} \\\\")
        # "{}" keeps a cell that starts with a bracket from being read as the argument of the line break before it.
        lines += [
            " & ".join("{}" + _latex(text) if text.startswith("[") else _latex(text) for text in row) + " \\\\"
            for row in section.rows
        ]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def to_csv(cells: Sequence[Cell]) -> str:
    """One line per cell with every number plain, e.g. `top1_low`; empty where there is none.

    Of several differences the first two, with their references; values of several trainings are in one field, with
    spaces between. Curves of risk over coverage are in results.json only.
    """
    compared = range(max((len(cell.differences) for cell in cells), default=0))[:2] or [0]
    several = any(cell.trainings for cell in cells)
    metrics = list(dict.fromkeys(name for cell in cells for name in cell.metrics))
    rows = []
    for cell in cells:
        lux = cell.model.trained_lux
        low, high = lux if isinstance(lux, tuple) else (lux, lux)
        row: dict[str, object] = {"part": cell.part, "method": cell.method, "kind": cell.model.kind}
        row |= {"trained_lux_low": low, "trained_lux_high": high}
        row |= {name: getattr(cell.model, name) for name in ("conditioned", "rounds", "networks")}
        row |= {name: getattr(cell, name) for name in _PLAIN}
        for name in metrics:
            row |= {f"{name}_{part}": getattr(cell.metrics.get(name), part, None) for part in Estimate.model_fields}
            if several:
                row[f"{name}_trainings"] = _spaced(t.metrics[name].value for t in cell.trainings if name in t.metrics)
        for i in compared:
            gap = cell.differences[i] if i < len(cell.differences) else None
            start = "difference" if i == 0 else f"difference{i + 1}"
            row |= {f"{start}_{part}": getattr(gap, part, None) for part in _DIFFERENCE}
            if several:
                row[f"{start}_trainings"] = _spaced(gap.trainings if gap else ())
        rows.append(row)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]) if rows else ["part"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _spaced(values: Iterable[float]) -> str | None:
    return " ".join(map(repr, values)) or None


def _latex(text: str) -> str:
    special = {
        "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "$": "\\$", "&": "\\&", "#": "\\#", "%": "\\%", "_": "\\_",
        "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "−": "$-$", "–": "--",
    }  # fmt: skip
    return "".join(special.get(letter, letter) for letter in text)
