"""What a study leaves in its folder: tables, figures, and all of them on one page, as HTML and as Markdown."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import yaml
from jinja2 import Environment, FileSystemLoader

from dirtypixels import files
from dirtypixels.study import figures, lines, markup, tables
from dirtypixels.study.findings import controls, findings, headline, light_findings, quality_and_accuracy
from dirtypixels.study.paper import PAPER_PRETRAINED, paper_table
from dirtypixels.study.results import Study
from dirtypixels.study.tables import Table, condition_name, conditions_of

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
About = Literal["study", "grid", "light", "pretraining"]
PIXEL_RATIO = 2  # pixels of a figure per CSS pixel


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


def tables_of(study: Study) -> dict[str, Table]:
    """Every table that has something in it, by the name of its file."""
    found = {
        "methods": tables.method_table(study),
        "trainings": tables.trainings_table(study),
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
    matched = partial(figures.psnr_against_accuracy, metric="psnr_affine")
    known: list[tuple[Callable[[Study, Path], bool], str, str, About]] = [
        (figures.accuracy_by_method, "accuracy", "Accuracy by method and condition", "study"),
        (figures.psnr_against_accuracy, "psnr", "PSNR against accuracy", "study"),
        (matched, "psnr-affine", "PSNR after gain and offset against accuracy", "study"),
        (figures.heat_map, "grid", "The pretrained classifier over light and PSF", "grid"),
        (lines.accuracy_over_grid, "light", "The pretrained classifier over light", "grid"),
        (lines.accuracy_over_light, "light-accuracy", "Accuracy over light", "light"),
        (lines.difference_over_light, "light-difference", "Compared with the specialist of each light", "light"),
        (lines.accuracy_over_factor, "light-wrong", "Told a wrong noise level", "light"),
        (lines.risk_over_coverage, "light-risk", "Risk over coverage", "light"),
    ]
    several = any(cell.trainings for cell in study.part("methods"))
    texts: dict[About, str] = {
        "grid": "".join(study.lens),
        "study": "Small marks are single trainings; the mean has the interval." if several else "",
    }
    return [
        Shown(title, path, texts.get(about, ""), about)
        for function, name, title, about in known
        if function(study, path := folder / f"{name}.png")
    ]


def write_figures_and_tables(study: Study, folder: Path, shown: Sequence[Shown] = ()) -> None:
    """Write all figures and tables of a record, `results.csv`, `report.md` and `report.html` to a folder.

    Args:
        study: to report.
        folder: to write to; files of these names are replaced.
        shown: further figures, which are there already.
    """
    for name, table in tables_of(study).items():
        files.write_text(folder / f"{name}.tex", markup.to_latex(table))
    files.write_text(folder / "results.csv", markup.to_csv(study.cells))
    every = [*draw(study, folder), *shown]
    write_markdown(study, every, folder / "report.md")
    write_report(study, every, folder / "report.html")


def sections(study: Study, shown: Sequence[Shown]) -> list[Section]:
    """What the report says and shows of a study, without what is empty."""
    about = {name: [one for one in shown if one.about == name] for name in ("study", "grid", "light", "pretraining")}
    table = tables_of(study)
    light = [found for name, found in table.items() if name.startswith("light")]

    quality, control = quality_and_accuracy(study), controls(study)
    every = [
        Section("Results", tables=[table["methods"]] if "methods" in table else (), note=_caution(study)),
        Section("Each training", tables=[table["trainings"]] if "trainings" in table else ()),
        Section("Restoring, fine-tuning, and training both together", "".join(control[:1]), control[1:]),
        Section("PSNR and accuracy", "".join(quality[:1]), quality[1:]),
        Section("Figures", figures=about["study"]),
        Section("Compared with the paper", tables=[table["paper"]] if "paper" in table else ()),
        Section("Light and lens", figures=about["grid"], tables=[table["grid"]] if "grid" in table else ()),
        Section("One model for every light", "", light_findings(study) if light else (), about["light"], light),
        Section("Pretraining", figures=about["pretraining"]),
        Section("Notes", points=study.notes),
    ]
    return [one for one in every if one.lead or one.points or one.figures or one.tables]


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
    sentence = headline(study) if study.part("methods") else ""
    lead, clauses = findings(study)
    first, *others = clauses or [""]
    # Many conditions are a list for each clause, few of them one sentence.
    starts = [f"{lead} {first}", *(clause[0].upper() + clause[1:] for clause in others)]
    many = dict(zip(starts, clauses.values(), strict=True)) if sum(map(len, clauses.values())) > 2 else {}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"lines": _lines, "pieces": _pieces, "embedded": _embedded}
    page = environment.get_template("report.html").render(
        study=study,
        setting=_setting(study),
        headline=many or sentence,
        sections=sections(study, shown),
        blocks={"Data": _yaml(study.data), "Recipe": _yaml(study.recipe), "Command": study.commands},
    )
    files.write_text(out_path, page + "\n")


def _setting(study: Study) -> list[str]:
    conditions = ", ".join(map(condition_name, conditions_of(study)))
    return [f"Camera {study.camera}, transfer {study.transfer}{'; ' * bool(conditions)}{conditions}.", *study.lens]


def _caution(study: Study) -> str:
    if any(cell.trainings for cell in study.part("methods")):
        return (
            f"What is trained for a condition was trained {tables.trainings_of(study)} times, with another seed each "
            "time, and its intervals are over the photographs and these trainings. The pretrained classifier and the "
            "pretrained unit are the same for all, so the chance of pretraining is not in them."
        )
    if len({cell.seed for cell in study.cells}) > 1:
        return "The intervals are over the photographs, for each seed; the rows show how much training runs differ."
    return (
        "The intervals are over the photographs. Each method was trained once (one seed), so how much one training "
        "run differs from the next is not in them."
    )


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False).rstrip()


def _pieces(name: str) -> list[str]:
    """A row's name where it may break if there is little room: after " +" and before a bracket, but nowhere else."""
    return re.split(r"(?<= \+) | (?=\()|(?<= minus) ", name)


def _lines(text: str) -> list[str]:
    """A number, and what is written under it in small: its interval, the paper's number."""
    value, bracket, interval = text.partition(" [")
    return [value, *f"[{interval}".split("; ")] if bracket else [value]


def _embedded(shown: Shown) -> dict[str, object]:
    """A figure's PNG for a page that asks for no other file, with its size on the page."""
    content = shown.path.read_bytes()
    if not content.startswith(PNG_SIGNATURE):
        raise ValueError(f"figures: {shown.title!r} must be a PNG file; found {shown.path} with other content")
    width, height = (int.from_bytes(content[at : at + 4], "big") // PIXEL_RATIO for at in (16, 20))
    return {"width": width, "height": height, "data": base64.b64encode(content).decode()}
