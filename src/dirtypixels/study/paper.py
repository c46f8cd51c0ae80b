"""The paper's Table 2, and a study's numbers next to it."""

from __future__ import annotations

from dirtypixels.study import tables
from dirtypixels.study.results import Study
from dirtypixels.study.tables import Section, Table, entry, percent, points

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

COMPARED = tuple(condition for condition in PAPER if "+" not in condition)
"""The conditions whose numbers may stand next to the paper's, those without blur: its PSFs are not public, and how much
a PSF blurs depends on the pixels under it. The gap is no detail: its pretrained one has 61.1 % at 6 lux off-axis,
2.5 points less than without blur; ours, behind another lens at 112 px, 30.7 %, 24.8 points less.
"""
PAPER_PRETRAINED = {condition: PAPER[condition]["pretrained"] for condition in COMPARED}
"""What is known of the paper's Table 1 where there is no blur: the cells that are in Table 2 as well."""


def paper_table(study: Study) -> Table:
    """Top-1 and top-5 of this study and of the paper's Table 2, for the methods that both have without blur.

    The last row of a condition is the joint model minus the fine-tuned classifier. A table with no rows where nothing
    matches.
    """
    sections = []
    for condition in (key for key in tables.conditions_of(study) if key in COMPARED):
        theirs = PAPER[condition]
        methods = [m for m in tables.methods_of(study) if m in theirs and tables.cells_of(study, condition, m)]
        rows = [
            (
                tables.method_name(m),
                *(t for k in (0, 1) for t in (_ours(study, condition, m, k), percent(theirs[m][k]))),
            )
            for m in methods
        ]
        if {"joint", "finetuned"} <= set(methods):
            gaps = [points(theirs["joint"][k] - theirs["finetuned"][k]) for k in (0, 1)]
            name = f"{tables.method_name('joint')} minus {tables.method_name('finetuned')}"
            rows.append((name, *(t for k in (0, 1) for t in (_our_gap(study, condition, k), gaps[k]))))
        if rows:
            sections.append(Section(tables.condition_name(condition), tuple(rows)))
    return Table(
        caption="Accuracy compared with the paper's.",
        columns=("Method", "ours", "paper", "ours", "paper"),
        sections=tuple(sections),
        notes=tuple(_notes(study)),
        groups=(("top-1", 2), ("top-5", 2)),
    )


def _notes(study: Study) -> list[str]:
    notes = [
        "The paper (Diamond et al. 2017, Table 2) used Inception-v4 on ImageNet at 299 px with 1000 classes; this "
        "study used another network and other data, so only the order of the methods can be compared: a level or a gap "
        "on another number of classes is another quantity."
    ]
    if study.camera != PAPER_CAMERA or study.transfer != PAPER_TRANSFER:
        notes.append(
            f"The paper simulated the camera {PAPER_CAMERA} with the transfer {PAPER_TRANSFER}; this study "
            f"{study.camera} with {study.transfer}, so the same lux is not the same noise."
        )
    if any(cell.condition in PAPER and cell.position for cell in study.part("methods")):
        notes.append(
            "Conditions with blur are left out: the paper used PSFs calibrated on its camera, which are not public, "
            "and photographs of another size, so the same place in the field is not the same blur."
        )
    if len({cell.seed for cell in study.part("methods")}) > 1:
        notes.append("Ours is the mean over the seeds.")
    if any(cell.trainings for cell in study.part("methods")):
        notes.append(f"Ours is the mean over {tables.trainings_of(study)} trainings, where something was trained.")
    return notes


def _ours(study: Study, condition: str, method: str, k: int) -> str:
    cells = tables.cells_of(study, condition, method)
    value = tables.mean_of(study, condition, method, BOTH[k])
    if len(cells) == 1 or value is None:
        return entry(cells[0].metrics.get(BOTH[k]))
    return percent(value)


def _our_gap(study: Study, condition: str, k: int) -> str:
    joint, tuned = (tables.mean_of(study, condition, method, BOTH[k]) for method in ("joint", "finetuned"))
    (first, *others), wanted = tables.cells_of(study, condition, "joint"), (BOTH[k], "finetuned")
    paired = [gap for gap in first.differences if (gap.metric, gap.reference) == wanted and not others]
    if paired or joint is None or tuned is None:
        return entry(next(iter(paired), None))
    return points(joint - tuned)
