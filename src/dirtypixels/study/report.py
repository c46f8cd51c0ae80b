"""report.html: a study in one file that opens anywhere, with its headline computed from its numbers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path

import yaml

from dirtypixels import files
from dirtypixels.study.results import Cell, Study
from dirtypixels.study.tables import (
    Table,
    beside_paper,
    cells_of,
    condition_name,
    conditions_of,
    mean_top1,
    method_name,
    method_table,
    methods_of,
    percent,
    points,
)

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXEL_RATIO = 2  # pixels of a figure per CSS pixel

WON = "the joint model named more photographs right than the fine-tuned classifier"
LOST = "the joint model named fewer photographs right than the fine-tuned classifier"
OPEN = "no difference between the joint model and the fine-tuned classifier is shown"

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
.scroll { width: fit-content; max-width: 100%; overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .45rem; text-align: right; white-space: nowrap; vertical-align: top; }
thead th { font-size: .85rem; font-weight: 600; background: var(--box); vertical-align: bottom; }
thead tr:first-child th[colspan] { text-align: center; font-size: .95rem; }
tbody tr { border-top: 1px solid var(--line); }
tbody th, thead tr:first-child th:first-child { text-align: left; position: sticky; left: 0; background: var(--box); }
tbody th { font-weight: 600; }
.first { border-left: 1px solid var(--line); }
.interval { display: block; color: var(--soft); font-size: .72rem; }
figure { margin: 1.2rem 0 2rem; }
figcaption { margin-bottom: .5rem; color: var(--ink); font-weight: 600; }
figure .scroll { background: #fff; padding: .6rem; }
img { display: block; max-width: 100%; height: auto; }
pre { background: var(--box); border-radius: 8px; padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; margin: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  main { padding: 1rem .8rem 3rem; }
  tbody th { white-space: normal; min-width: 6.5rem; }
  img { max-width: 52rem; }
}
"""


def headline(study: Study) -> str:
    """What the study found about the joint model against the fine-tuned classifier, in one sentence.

    A condition counts as won or lost where the 95 % interval of the paired difference excludes 0 (for every seed, where
    there are several), and as open otherwise. Without such a comparison the sentence names each condition's best
    method.
    """
    found: dict[str, list[str]] = {WON: [], LOST: [], OPEN: []}
    for condition in conditions_of(study):
        joint = [cell for cell in cells_of(study, condition, "joint") if _against_finetuned(cell)]
        if joint:
            found[_verdict(joint)].append(_detail(study, condition, joint))
    clauses = [f"{clause} {_join(details)}" for clause, details in found.items() if details]
    if clauses:
        counts = sorted({cell.count for cell in study.cells if cell.method == "joint" and _against_finetuned(cell)})
        photographs = " or ".join(f"{count:,}" for count in counts)
        sentence = f"On {photographs} photographs (95 % intervals in brackets) {'; '.join(clauses)}."
        return sentence.replace(" %", "\N{NO-BREAK SPACE}%")
    best = [_best(study, condition) for condition in conditions_of(study)]
    if not best:
        return "No results yet."
    return f"The study does not compare a joint model with a fine-tuned classifier; the best top-1 is {_join(best)}."


def write_report(study: Study, figures: Mapping[str, Path | str], out_path: Path | str) -> None:
    """Write the study as one HTML file with everything in it: no script, no request to anywhere.

    Args:
        study: what to report.
        figures: title to PNG file, in the order to show them in.
        out_path: of the HTML file; replaced atomically.

    Raises:
        ValueError: a figure is not a PNG file.
        OSError: a figure cannot be read, or the report not written.
    """
    paper = beside_paper(study)
    parts = [
        f"<h1>{escape(study.name)}</h1>",
        f'<p class="soft">{escape(_setting(study))}</p>',
        f'<p class="headline">{escape(headline(study))}</p>',
        _section("Results", _table(method_table(study)) + _paragraph(_caution(study))),
        _section("Beside the paper", _table(paper)) if paper.rows else "",
        _section("Figures", "".join(_figure(title, Path(path)) for title, path in figures.items())) if figures else "",
        _section("Notes", f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in study.notes)}</ul>")
        if study.notes
        else "",
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


def _setting(study: Study) -> str:
    return f"Camera {study.camera}, transfer {study.transfer}, {', '.join(map(condition_name, conditions_of(study)))}"


def _caution(study: Study) -> str:
    if len({cell.seed for cell in study.cells}) > 1:
        return "The intervals are over the photographs, for each seed; the rows show how much training runs differ."
    return (
        "The intervals are over the photographs. Each method was trained once (one seed), so how much one training "
        "run differs from the next is not in them."
    )


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def _paragraph(text: str) -> str:
    return f'<p class="notes">{escape(text)}</p>'


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
    rows = []
    for name, *texts in table.rows:
        cells = "".join(f"<td{mark}>{_cell(text)}</td>" for text, mark in zip(texts, marks, strict=True))
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    head = f'<tr><th rowspan="2" scope="col">{escape(table.columns[0])}</th>{over}</tr><tr>{under}</tr>'
    label = escape(table.caption, quote=True)
    # A box that scrolls takes the focus, so that the keyboard can scroll it.
    return (
        f"<p>{label}</p>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>'
        f"<thead>{head}</thead>\n<tbody>{chr(10).join(rows)}</tbody></table></div>"
        + "".join(map(_paragraph, table.notes))
    )


def _cell(text: str) -> str:
    value, bracket, interval = text.partition(" [")
    return escape(value) + (f'<span class="interval">[{escape(interval)}</span>' if bracket else "")


def _figure(title: str, path: Path) -> str:
    content = path.read_bytes()
    if not content.startswith(PNG_SIGNATURE):
        raise ValueError(f"figures[{title!r}] must be a PNG file; found {path} with other content")
    width, height = (int.from_bytes(content[at : at + 4], "big") // PIXEL_RATIO for at in (16, 20))
    data = base64.b64encode(content).decode()
    name = escape(title, quote=True)
    return (
        f'<figure><figcaption>{name}</figcaption><div class="scroll" tabindex="0" role="region" aria-label="{name}">'
        f'<img alt="{name}" width="{width}" height="{height}" src="data:image/png;base64,{data}"></div></figure>'
    )
