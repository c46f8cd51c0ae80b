"""Figure 7: photographs as the classifier gets them, and what it made of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from dirtypixels import checks
from dirtypixels.plotting import DPI, INK, save
from dirtypixels.study.tables import condition_name


@dataclass(frozen=True)
class Picture:
    """One picture of a panel and what the classifier made of it.

    Args:
        image: (3|1, H, W), as it is to be shown: 0 black, 1 white; clipped to that for showing.
        title: what it is, e.g. "capture"; shown where it is another than that of the picture over it.
        label: the name of the class that the classifier gave it.
        right: whether that is the true class; None where the label is the true class itself, given and not answered.
        psnr: against the scene, in dB; None for the scene itself.

    Raises:
        TypeError: image is not floating point.
        ValueError: image does not have that shape, or is not finite.
    """

    image: Tensor
    title: str
    label: str
    right: bool | None
    psnr: float | None = None

    def __post_init__(self) -> None:
        checks.is_tensor("image", self.image)
        checks.has_shape("image", self.image, ((1, 3), "H", "W"))
        checks.is_finite("image", self.image)


@dataclass(frozen=True)
class PanelRow:
    """One photograph under one condition: scene, noisy capture, and what each method makes of it.

    Args:
        condition: key such as "3lux".
        truth: the name of the true class.
        pictures: from left to right; as many in every row.
    """

    condition: str
    truth: str
    pictures: tuple[Picture, ...]


def panels(rows: Sequence[PanelRow], path: Path | str) -> None:
    """Rows of pictures: scene, noisy capture, restored; under each its label, right or wrong, and its PSNR.

    Raises:
        ValueError: no rows, or rows of different lengths.
    """
    widths = {len(row.pictures) for row in rows}
    if len(widths) != 1 or not min(widths):
        raise ValueError(f"rows must hold the same number of pictures, at least 1; found {sorted(widths) or 'no rows'}")
    columns = widths.pop()
    shape = max(row.pictures[0].image.shape[-2] / row.pictures[0].image.shape[-1] for row in rows)
    figure = Figure(
        figsize=(0.5 + 2.25 * columns, len(rows) * (2.25 * shape + 0.5) + 0.4), dpi=DPI, layout="constrained"
    )
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row.pictures):
            axes = grid[i, j]
            pixels = picture.image.detach().cpu().float().clamp(0, 1)
            axes.imshow(pixels.expand(3, -1, -1).permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color="#bbbbbb", linewidth=0.6)
            mark, color = {True: ("✓ ", "#00664d"), False: ("✗ ", "#a33a00"), None: ("", INK)}[picture.right]
            psnr = "" if picture.psnr is None else f"\n{picture.psnr:.1f} dB"
            axes.set_xlabel(f"{mark}{_short(picture.label)}{psnr}", fontsize=9, color=color, labelpad=3)
            if i == 0 or rows[i - 1].pictures[j].title != picture.title:
                axes.set_title(picture.title, fontsize=10.5, color=INK)
        name = f"{condition_name(row.condition)}\n{_short(row.truth)}"
        grid[i, 0].set_ylabel(name, fontsize=10, color=INK)
    save(figure, path)


def _short(text: str, most: int = 26) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
