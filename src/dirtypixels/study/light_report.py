"""What a light study leaves in its folder: the record, tables, figures, and one page of Markdown with all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dirtypixels.files import write_text
from dirtypixels.study import light_figures, light_results, light_tables, markup
from dirtypixels.study.light_findings import light_findings
from dirtypixels.study.light_results import LightStudy
from dirtypixels.study.report import Part, Shown
from dirtypixels.study.tables import Table


def light_tables_of(study: LightStudy) -> list[Table]:
    """Those that have something in them."""
    makers: tuple[Callable[[LightStudy], Table], ...] = (
        light_tables.light_table,
        light_tables.difference_table,
        light_tables.mismatch_table,
        light_tables.cost_table,
        light_tables.confidence_table,
    )
    return [table for table in (make(study) for make in makers) if table.rows]


def write_light(study: LightStudy, folder: Path) -> tuple[Part, list[Shown]]:
    """Write light.json, light.md, light.csv, light.tex and the figures; gives what the report says and shows of it."""
    compared = any(cell.difference and cell.kind not in ("pretrained", "specialist") for cell in study.cells)
    drawn: list[tuple[str, str, Callable[[LightStudy, Path], None], bool]] = [
        ("Accuracy over light", "light-accuracy.png", light_figures.accuracy_over_lux, True),
        ("Beside the specialist of each light", "light-difference.png", light_figures.difference_over_lux, compared),
        ("Told a wrong noise level", "light-wrong.png", light_figures.accuracy_over_factor, bool(study.mismatch)),
        ("Risk over coverage", "light-risk.png", light_figures.risk_over_coverage, bool(study.selective)),
    ]
    shown = []
    for title, name, draw, wanted in drawn:
        if wanted:
            draw(study, folder / name)
            shown.append(Shown(title, folder / name, about="light"))
    light_results.write(study, folder / "light.json")
    light_tables.to_csv(study.cells, folder / "light.csv")
    markup.to_latex(light_tables.light_table(study), folder / "light.tex")
    findings, tables = light_findings(study), light_tables_of(study)
    versions = ", ".join(f"{name} {version}" for name, version in study.versions.items())
    page = [
        f"# {study.name}",
        *findings,
        f"![{shown[0].title}]({shown[0].path.name})",
        *(markup.to_markdown(table) for table in tables),
        *(f"![{one.title}]({one.path.name})" for one in shown[1:]),
        *(f"- {note}" for note in study.notes),
        f"Camera {study.camera}, transfer {study.transfer}. {study.hardware}. {versions}.",
        f"    {study.commands}",
    ]
    write_text(folder / "light.md", "\n\n".join(part.strip("\n") for part in page) + "\n")
    return Part("One model for every light", findings, tables), shown
