"""The paper's Table 2, and a study's numbers next to it."""

from __future__ import annotations

from dirtypixels.study.results import Study
from dirtypixels.study.tables import (
    NOTHING,
    Section,
    Table,
    cells_of,
    condition_name,
    conditions_of,
    entry,
    mean_of,
    method_name,
    methods_of,
    percent,
    points,
)

PAPER_CAMERA = "nexus-6p-rear"
PAPER_TRANSFER = "linear"
BOTH = ("top1", "top5")
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
    "6lux+offaxis": {
        "pretrained": (0.6107, 0.8203),
        "hqs": (0.4864, 0.7098),
        "finetuned": (0.6832, 0.8844),
        "joint": (0.7108, 0.9024),
    },
    "6lux+periphery": {
        "pretrained": (0.3769, 0.5906),
        "hqs": (0.3621, 0.5704),
        "finetuned": (0.6102, 0.8332),
        "joint": (0.6603, 0.8701),
    },
}
"""Top-1 and top-5 by condition and method: Diamond et al. 2017, Table 2."""

PAPER_PRETRAINED = {condition: methods["pretrained"] for condition, methods in PAPER.items()}
"""What is known of the paper's Table 1: the cells that are in Table 2 as well."""


def paper_table(study: Study) -> Table:
    """Top-1 and top-5 of this study and of the paper's Table 2, for the conditions and methods that both have.

    The last row of a condition is the joint model minus the fine-tuned classifier. A table with no rows where nothing
    matches.
    """
    sections = []
    for condition in (key for key in conditions_of(study) if key in PAPER):
        theirs = PAPER[condition]
        methods = [m for m in methods_of(study) if m in theirs and cells_of(study, condition, m)]
        rows: list[tuple[str, ...]] = [
            (method_name(m), *(t for k in (0, 1) for t in (_ours(study, condition, m, BOTH[k]), percent(theirs[m][k]))))
            for m in methods
        ]
        if {"joint", "finetuned"} <= set(methods):
            gaps = [
                text
                for k in (0, 1)
                for text in (_our_gap(study, condition, BOTH[k]), points(theirs["joint"][k] - theirs["finetuned"][k]))
            ]
            rows.append((f"{method_name('joint')} minus {method_name('finetuned')}", *gaps))
        if rows:
            sections.append(Section(condition_name(condition), tuple(rows)))
    return Table(
        caption="Accuracy compared with the paper's.",
        columns=("Method", "ours", "paper", "ours", "paper") if sections else ("Method",),
        sections=tuple(sections),
        notes=tuple(_notes(study)),
        groups=(("top-1", 2), ("top-5", 2)) if sections else (),
    )


def _notes(study: Study) -> list[str]:
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
    if study.optics is not None and any(cell.condition in PAPER and cell.position for cell in study.part("methods")):
        notes.append(
            "The paper used PSFs calibrated on its camera, which are not public, so the same place in the field is not "
            f"the same blur. The PSFs of this study: {study.optics.rstrip('.')}."
        )
    if len({cell.seed for cell in study.part("methods")}) > 1:
        notes.append("Ours is the mean over the seeds.")
    return notes


def _ours(study: Study, condition: str, method: str, metric: str) -> str:
    found = cells_of(study, condition, method)
    if len(found) == 1:
        return entry(found[0].metrics.get(metric))
    value = mean_of(study, condition, method, metric)
    return NOTHING if value is None else percent(value)


def _our_gap(study: Study, condition: str, metric: str) -> str:
    joint, tuned = (mean_of(study, condition, method, metric) for method in ("joint", "finetuned"))
    if joint is None or tuned is None:
        return NOTHING
    found = cells_of(study, condition, "joint")
    if len(found) == 1:
        for gap in found[0].differences:
            if (gap.metric, gap.reference) == (metric, "finetuned"):
                return entry(gap)
    return points(joint - tuned)
