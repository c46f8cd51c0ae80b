"""What a study leaves in its folder: tables, figures, and all of them on one page, as HTML and as Markdown."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

import yaml

from dirtypixels import files
from dirtypixels.study import figures, lines, markup, scatter, tables
from dirtypixels.study.findings import findings, headline, light_findings, quality_and_accuracy
from dirtypixels.study.paper import PAPER_PRETRAINED, paper_table
from dirtypixels.study.results import Study
from dirtypixels.study.tables import Table, condition_name, conditions_of

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
About = Literal["study", "grid", "light", "pretraining"]
PIXEL_RATIO = 2  # pixels of a figure per CSS pixel

STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1f; --soft: #5c5c63; --page: #fff; --box: #f4f4f6; --line: #d9d9de;
  --accent: #b34700; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececf0; --soft: #a6a6af; --page: #17171a; --box: #222226;
  --line: #3a3a40; --accent: #ff9a57; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .7rem; }
p, li { max-width: 48rem; overflow-wrap: anywhere; }
.soft, .notes, figcaption, caption { color: var(--soft); font-size: .9rem; }
.headline { font-size: 1.15rem; border-left: 4px solid var(--accent); padding: .1rem 0 .1rem 1rem;
  margin: 1.4rem 0; max-width: 60rem; }
.headline p, .headline ul { margin: .3rem 0; max-width: none; }
.scroll { width: fit-content; max-width: 100%; overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .45rem; text-align: right; white-space: nowrap; vertical-align: top; }
thead th { font-size: .85rem; font-weight: 600; background: var(--box); vertical-align: bottom; }
thead tr:first-child th[colspan] { text-align: center; font-size: .95rem; }
tbody tr { border-top: 1px solid var(--line); }
tbody th, thead tr:first-child th:first-child { text-align: left; position: sticky; left: 0; background: var(--box); }
tbody th { font-weight: 600; }
.blocks { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 34rem), 1fr)); gap: 1.2rem 1.5rem; }
.block { min-width: 0; }
h3 { font-size: 1rem; margin: 0 0 .4rem; }
.block table { min-width: 100%; }
.block .scroll { width: auto; }
.block tbody th { white-space: normal; }
.first { border-left: 1px solid var(--line); }
.whole { white-space: nowrap; }
.under { display: block; color: var(--soft); font-size: .72rem; }
figure { margin: 1.2rem 0 2rem; }
figcaption { margin-bottom: .5rem; color: var(--ink); font-weight: 600; }
figcaption .text { display: block; color: var(--soft); font-weight: 400; max-width: 48rem; }
figure .scroll { background: #fff; padding: .6rem; }
img { display: block; max-width: 100%; height: auto; }
pre { background: var(--box); border-radius: 8px; padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; margin: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  main { padding: 1rem .6rem 3rem; }
  table { font-size: .8rem; }
  th, td { padding: .35rem .24rem; }
  img { max-width: 52rem; }
}
"""


@dataclass(frozen=True)
class Shown:
    """A figure in the report.

    Args:
        title: a few words.
        path: of the PNG file.
        text: sentences under the title: what is drawn, and by which rule it was chosen.
        about: the section that it belongs to: "study", "grid" for light x PSF, "light" for models over light, or
            "pretraining".
    """

    title: str
    path: Path
    text: str = ""
    about: About = "study"


@dataclass(frozen=True)
class Section:
    """A part of the report: a sentence, a list of more, figures and tables under a title, with a note in small."""

    title: str
    lead: str = ""
    points: Sequence[str] = ()
    figures: Sequence[Shown] = ()
    tables: Sequence[Table] = ()
    note: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.lead or self.points or self.figures or self.tables)


def tables_of(study: Study) -> dict[str, Table]:
    """Every table that has something in it, by the name of its file."""
    found = {
        "methods": tables.method_table(study),
        "paper": paper_table(study),
        "grid": tables.grid_table(study, PAPER_PRETRAINED),
        "light": tables.light_table(study),
        "light-difference": tables.difference_table(study),
        "light-wrong": tables.wrong_noise_table(study),
        "light-cost": tables.cost_table(study),
        "light-confidence": tables.confidence_table(study),
    }
    return {name: table for name, table in found.items() if table.rows}


def draw(study: Study, folder: Path) -> list[Shown]:
    """Draw every figure of the record that has something to show."""
    methods, grid, light = (bool(study.part(name)) for name in ("methods", "grid", "light"))
    source = f"The lens's PSFs: {study.optics.rstrip('.')}." if study.optics else ""
    known: list[tuple[bool, Callable[[Study, Path], None], Shown]] = [
        (methods, figures.accuracy_by_method, Shown("Accuracy by method and condition", folder / "accuracy.png")),
        (bool(scatter.compared(study)), scatter.psnr_against_accuracy,
         Shown("PSNR against accuracy", folder / "psnr.png")),
        (grid, figures.heat_map,
         Shown("The pretrained classifier over light and PSF", folder / "grid.png", source, "grid")),
        (grid, lines.accuracy_over_grid,
         Shown("The pretrained classifier over light", folder / "light.png", source, "grid")),
        (light, lines.accuracy_over_light, Shown("Accuracy over light", folder / "light-accuracy.png", about="light")),
        (lines.is_compared(study), lines.difference_over_light,
         Shown("Compared with the specialist of each light", folder / "light-difference.png", about="light")),
        (bool(study.part("wrong_noise")), lines.accuracy_over_factor,
         Shown("Told a wrong noise level", folder / "light-wrong.png", about="light")),
        (any(cell.risk for cell in study.part("light")), lines.risk_over_coverage,
         Shown("Risk over coverage", folder / "light-risk.png", about="light")),
    ]  # fmt: skip
    wanted = [(function, shown) for there, function, shown in known if there]
    for function, shown in wanted:
        function(study, shown.path)
    return [shown for _, shown in wanted]


def write_figures_and_tables(study: Study, folder: Path, shown: Sequence[Shown] = ()) -> None:
    """Write all figures and tables of a record, `results.csv`, `report.md` and `report.html` to a folder.

    Args:
        study: to report.
        folder: to write to; files of these names are replaced.
        shown: further figures, which are there already.
    """
    for name, table in tables_of(study).items():
        markup.to_latex(table, folder / f"{name}.tex")
    markup.to_csv(study.cells, folder / "results.csv")
    every = [*draw(study, folder), *shown]
    write_markdown(study, every, folder / "report.md")
    write_report(study, every, folder / "report.html")


def sections(study: Study, shown: Sequence[Shown]) -> list[Section]:
    """What the report says and shows of a study, without what is empty."""
    about = {name: [one for one in shown if one.about == name] for name in ("study", "grid", "light", "pretraining")}
    table = tables_of(study)
    light = [found for name, found in table.items() if name.startswith("light")]

    def some(name: str) -> list[Table]:
        return [table[name]] if name in table else []

    quality = quality_and_accuracy(study)
    every = [
        Section("Results", tables=some("methods"), note=_caution(study)),
        Section("PSNR and accuracy", "".join(quality[:1]), quality[1:]),
        Section("Figures", figures=about["study"]),
        Section("Compared with the paper", tables=some("paper")),
        Section("Light and lens", figures=about["grid"], tables=some("grid")),
        Section("One model for every light", "", light_findings(study) if light else (), about["light"], light),
        Section("Pretraining", figures=about["pretraining"]),
        Section("Notes", points=study.notes),
    ]
    return [section for section in every if not section.is_empty]


def write_markdown(study: Study, shown: Sequence[Shown], out_path: Path | str) -> None:
    """Write the study as one page of Markdown, with links to the figures next to it."""
    folder = Path(out_path).parent
    said = [headline(study)] if study.part("methods") else []
    page = [f"# {study.name}", *_setting(study), *said]
    for section in sections(study, shown):
        page += [f"## {section.title}", section.lead, "\n".join(f"- {text}" for text in section.points)]
        for one in section.figures:
            page += [f"![{one.title}]({one.path.relative_to(folder).as_posix()})", one.text]
        page += [*map(markup.to_markdown, section.tables), section.note]
    named = ", ".join(f"{name} {version}" for name, version in study.versions.items())
    page += [f"{study.hardware}. {named}.", f"    {study.commands}"]
    files.write_text(out_path, "\n\n".join(part.strip("\n") for part in page if part) + "\n")


def write_report(study: Study, shown: Sequence[Shown], out_path: Path | str) -> None:
    """Write the study as one HTML file with everything in it: no script, no request to anywhere.

    Args:
        study: what to report.
        shown: figures, in the order to show them in.
        out_path: of the HTML file; replaced atomically.

    Raises:
        ValueError: a figure is not a PNG file.
        OSError: a figure cannot be read, or the report not written.
    """
    parts = [
        f"<h1>{escape(study.name)}</h1>",
        *(f'<p class="soft">{escape(text)}</p>' for text in _setting(study)),
        _headline(study) if study.part("methods") else "",
        *(_section(section.title, _body(section)) for section in sections(study, shown)),
        _section("Data", _block(_yaml(study.data))),
        _section("Recipe", _block(_yaml(study.recipe))),
        _section("Command", _block(study.commands)),
        _section("Hardware", _paragraph(study.hardware)),
        _section("Versions", _definitions(study.versions)),
    ]
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(study.name)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{chr(10).join(part for part in parts if part)}
</main>
</body>
</html>
"""
    files.write_text(out_path, page)


def _headline(study: Study) -> str:
    lead, clauses = findings(study)
    if sum(map(len, clauses.values())) < 3:
        return f'<p class="headline">{escape(headline(study))}</p>'
    first, *others = clauses
    starts = [f"{lead} {first}", *(clause[0].upper() + clause[1:] for clause in others)]
    said = (f"<p>{escape(s)}:</p>{_list(d)}" for s, d in zip(starts, clauses.values(), strict=True))
    return f'<div class="headline">{"".join(said)}</div>'


def _setting(study: Study) -> list[str]:
    conditions = ", ".join(map(condition_name, conditions_of(study)))
    lens = [] if study.optics is None else [f"The lens's PSFs: {study.optics.rstrip('.')}."]
    return [f"Camera {study.camera}, transfer {study.transfer}{'; ' * bool(conditions)}{conditions}.", *lens]


def _caution(study: Study) -> str:
    if len({cell.seed for cell in study.cells}) > 1:
        return "The intervals are over the photographs, for each seed; the rows show how much training runs differ."
    return (
        "The intervals are over the photographs. Each method was trained once (one seed), so how much one training "
        "run differs from the next is not in them."
    )


def _body(section: Section) -> str:
    said = f"<p>{escape(section.lead)}</p>" if section.lead else ""
    said += _list(section.points) if section.points else ""
    shown, written = "".join(map(_figure, section.figures)), "".join(map(_table, section.tables))
    return said + shown + written + (_paragraph(section.note) if section.note else "")


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def _paragraph(text: str) -> str:
    return f'<p class="notes">{escape(text)}</p>'


def _list(texts: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def _block(text: str) -> str:
    return f'<pre tabindex="0">{escape(text)}</pre>'


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False).rstrip()


def _definitions(entries: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(key)}</dt><dd>{escape(text)}</dd>" for key, text in entries.items()) + "</dl>"


def _table(table: Table) -> str:
    starts = {sum(width for _, width in table.groups[:i]) for i in range(len(table.groups))}
    marks = [' class="first"' if i in starts else "" for i in range(len(table.columns) - 1)]
    over = "".join(
        f'<th scope="colgroup" colspan="{width}" class="first">{escape(name)}</th>' for name, width in table.groups
    )
    under = "".join(
        f'<th scope="col"{mark}>{escape(name)}</th>' for name, mark in zip(table.columns[1:], marks, strict=True)
    )
    corner = f'<th rowspan="{2 if over else 1}" scope="col">{escape(table.columns[0])}</th>'
    head = f"<tr>{corner}{over}</tr><tr>{under}</tr>" if over else f"<tr>{corner}{under}</tr>"
    blocks = []
    for section in table.sections:
        rows = []
        for name, *texts in section.rows:
            cells = "".join(f"<td{mark}>{_cell(text)}</td>" for text, mark in zip(texts, marks, strict=True))
            rows.append(f'<tr><th scope="row">{_name(name)}</th>{cells}</tr>')
        # A box that scrolls takes the focus, so that the keyboard can scroll it.
        label = escape(f"{section.heading}: {table.caption}", quote=True)
        blocks.append(
            f'<div class="block"><h3>{escape(section.heading)}</h3>'
            f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>'
            f"<thead>{head}</thead>\n<tbody>{chr(10).join(rows)}</tbody></table></div></div>"
        )
    notes = "".join(map(_paragraph, table.notes))
    return f'<p>{escape(table.caption)}</p><div class="blocks">{chr(10).join(blocks)}</div>{notes}'


def _name(text: str) -> str:
    """A row's name, which where there is little room may break after " +" and before a bracket, but nowhere else."""
    parts = re.split(r"(?<= \+) | (?=\()|(?<= minus) ", text)
    return " ".join(f'<span class="whole">{escape(part)}</span>' for part in parts)


def _cell(text: str) -> str:
    """A number, and under it in small what follows: its interval, the paper's number."""
    value, bracket, interval = text.partition(" [")
    if not bracket:
        return escape(value)
    lines = f"[{interval}".split("; ")
    return escape(value) + "".join(f'<span class="under">{escape(line)}</span>' for line in lines)


def _figure(shown: Shown) -> str:
    content = Path(shown.path).read_bytes()
    if not content.startswith(PNG_SIGNATURE):
        raise ValueError(f"figures: {shown.title!r} must be a PNG file; found {shown.path} with other content")
    width, height = (int.from_bytes(content[at : at + 4], "big") // PIXEL_RATIO for at in (16, 20))
    data = base64.b64encode(content).decode()
    name = escape(shown.title, quote=True)
    text = f'<span class="text">{escape(shown.text)}</span>' if shown.text else ""
    return (
        f'<figure><figcaption>{name}{text}</figcaption><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{name}"><img alt="{name}" width="{width}" height="{height}" '
        f'src="data:image/png;base64,{data}"></div></figure>'
    )
