"""Tables as text: Markdown and LaTeX for people, CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from dirtypixels import files
from dirtypixels.study.records import Record
from dirtypixels.study.results import Cell, Difference, Estimate, Study
from dirtypixels.study.tables import Table, method_table

_PARTS = {
    **dict.fromkeys(("top1", "top5", "psnr"), tuple(Estimate.model_fields)),
    "difference": tuple(Difference.model_fields),
}


def to_markdown(source: Study | Table, path: Path | str | None = None) -> str:
    """A table (of a study: its `method_table`) as Markdown; also written to `path` where one is given."""
    table = source if isinstance(source, Table) else method_table(source)
    width = len(table.columns)
    lines: list[Sequence[str]] = [table.headings, ["---", *["---:"] * (width - 1)]]
    for section in table.sections:
        if section.heading:
            lines.append([f"**{section.heading}**", *[""] * (width - 1)])
        lines += section.rows
    body = "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
    return _out("\n\n".join([table.caption, body, *table.notes]) + "\n", path)


def to_latex(source: Study | Table, path: Path | str | None = None) -> str:
    """A table (of a study: its `method_table`) as a LaTeX tabular that needs the package booktabs; caption and notes
    are comments over it. Also written to `path` where one is given."""
    table = source if isinstance(source, Table) else method_table(source)
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
    return _out("\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n", path)


def to_csv(cells: Sequence[Cell], path: Path | str | None = None) -> str:
    """One line per cell with every field as a plain number, e.g. `top1_low`; empty where there is none.

    Also written to `path` where one is given.
    """
    return rows_to_csv([flat(cell) for cell in cells], path, [name for name, _, _ in _columns(Cell)])


def flat(record: Record) -> dict[str, object]:
    """Every field of a record as a plain number, estimates and differences part by part, e.g. `top1_low`."""
    found = record.model_dump()
    return {
        name: (found[field] or {}).get(part) if part else found[field] for name, field, part in _columns(type(record))
    }


def rows_to_csv(
    rows: Sequence[Mapping[str, object]], path: Path | str | None = None, columns: Sequence[str] | None = None
) -> str:
    """Rows as CSV, empty where there is None; also written to `path`. Columns are those of the first row if None."""
    file = io.StringIO()
    if columns is None:
        columns = list(rows[0]) if rows else []
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return _out(file.getvalue(), path)


def _columns(kind: type[Record]) -> list[tuple[str, str, str]]:
    """Name, field and part of each column."""
    pairs = [(field, part) for field in kind.model_fields for part in _PARTS.get(field, ("",))]
    return [(f"{field}_{part}" if part else field, field, part) for field, part in pairs]


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
