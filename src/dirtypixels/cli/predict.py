"""`dirtypixels predict`: captures in, labels out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Column, Table
from torch import Tensor

from dirtypixels import checks
from dirtypixels.deploy import ModelCard, fit_observation, load_model
from dirtypixels.raw import read_capture
from dirtypixels.tasks import JointModel, class_names, select

ABSTAINS = "abstains"


class _Member(NamedTuple):
    """A model as the user named it, with what it takes to run it."""

    name: str
    network: JointModel
    card: ModelCard

    @property
    def temperature(self) -> float:
        return 1.0 if self.card.temperature is None else self.card.temperature


def predict_files(
    model: Path, files: list[Path], others: Sequence[Path] = (), abstain_below: float | None = None
) -> None:
    """Name what each capture shows; a capture is averaged to the model's size before it is classified.

    Args:
        model: a model's folder.
        files: captures.
        others: more models; of all, the one with the highest confidence names what a capture shows.
        abstain_below: say that the model abstains where its confidence is below this, in [0, 1]; None to name all.
    """
    if abstain_below is not None:
        checks.in_range("abstain-below", abstain_below, 0, 1)
    members = _members([model, *others])
    names = class_names(members[0].card.classes)
    # A name that is cut short could not be found again.
    columns: list[Column | str] = [Column("file", overflow="fold"), "label", "confidence", "next"]
    if others:
        columns.append(Column("model", overflow="fold"))
    table = Table(*columns, title=_title(members), caption=_caution(members, abstain_below))
    temperatures = torch.tensor([member.temperature for member in members], dtype=torch.float64)
    for file in files:
        chosen = select(_logits(members, file), temperatures)
        best = chosen.log_probabilities[0].exp().topk(min(2, len(names)))
        said = [f"{100 * p:.1f} %" for p in best.values.tolist()]
        first, *rest = best.indices.tolist()
        unsure = abstain_below is not None and best.values[0].item() < abstain_below
        row = [str(file), ABSTAINS if unsure else names[first], said[0], f"{names[rest[0]]} {said[1]}" if rest else "–"]
        table.add_row(*row, *([members[int(chosen.member[0])].name] if others else []))
    Console().print(table)


def _members(folders: Sequence[Path]) -> list[_Member]:
    """The models, all with the classes of the first one in its order; called by the folder's name where that is
    enough to tell them apart."""
    names = [folder.absolute().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    members = [_Member(name, *load_model(folder)) for name, folder in zip(names, folders, strict=True)]
    first = members[0]
    for other in members[1:]:
        mine, theirs = first.card.classes, other.card.classes
        if mine != theirs:
            pairs = enumerate(zip(mine, theirs, strict=False))
            apart = [f"class {k} is {b!r} there and {a!r} here" for k, (a, b) in pairs if a != b]
            number = f"{len(theirs)} classes there and {len(mine)} here"
            raise ValueError(
                f"with must name models of the same classes in the same order as {first.name!r}; "
                f"found {other.name!r}: {apart[0] if apart else number}"
            )
    return members


def _logits(members: Sequence[_Member], file: Path) -> Tensor:
    """What each model makes of one capture: (M, 1, K)."""
    observation, _ = read_capture(file)
    side, needed = min(observation.signal.shape[-2:]), max(member.card.image_size for member in members)
    if side < needed:
        raise ValueError(f"capture {str(file)!r} must be at least {needed} pixels a side; found {side}")
    logits = []
    for member in members:
        try:
            with torch.inference_mode():
                logits.append(member.network(fit_observation(observation, member.card.image_size)).double())
        except ValueError as error:
            which = "this model" if len(members) == 1 else f"model {member.name!r}"
            raise ValueError(f"capture {str(file)!r} does not suit {which}: {error}") from error
    return torch.stack(logits)


def _title(members: Sequence[_Member]) -> str:
    if len(members) == 1:
        return f"{members[0].name}: {members[0].card.network}"
    return f"The most confident of {len(members)} models"


def _caution(members: Sequence[_Member], abstain_below: float | None) -> str | None:
    """Confidences are compared, of several models or with a threshold, which only means something if calibrated."""
    raw = [member.name for member in members if member.card.temperature is None]
    if not raw or (len(members) == 1 and abstain_below is None):
        return None
    return f"Not calibrated, so that its confidence may be too high: {', '.join(raw)}"
