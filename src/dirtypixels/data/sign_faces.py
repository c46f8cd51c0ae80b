"""The clean faces of the built-in road signs, drawn as vector shapes and rasterized with antialiasing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path as FilePath
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from dirtypixels import checks

Point = tuple[float, float]
Color = tuple[float, float, float]

# sRGB of the paints of German road signs: RAL 3020, 5017, 1023; a reflective sheet is no perfect white, nor black.
RED: Color = (0.76, 0.07, 0.11)
BLUE: Color = (0.0, 0.35, 0.60)
YELLOW: Color = (0.97, 0.71, 0.0)
WHITE: Color = (0.95, 0.95, 0.93)
BLACK: Color = (0.07, 0.07, 0.08)


class Face(NamedTuple):
    """One sign seen straight on, filling the square [-1, 1]^2 (x to the right, y down).

    texture: (4, T, T) float32 in [0, 1], color times opacity, then opacity; outline: (N, 2) float64, points on
    the sign's edge.
    """

    texture: NDArray[np.float32]
    outline: NDArray[np.float64]


class _Layer(NamedTuple):
    """A shape in one color, filled where stroke is 0, else drawn as a line of that width (y is up here)."""

    path: Path
    color: Color
    stroke: float = 0.0


_Drawing = tuple[Path, list[_Layer]]  # the sign's outline and what is painted within, from back to front


def _polygon(points: Sequence[Point], rounding: float = 0.0) -> Path:
    """A closed polygon; its corners are cut at `rounding` along the sides and replaced by quadratic curves."""
    corners = np.asarray(points, dtype=np.float64)
    if rounding == 0.0:
        return Path(np.vstack([corners, corners[:1]]), closed=True)
    vertices, codes = [], []
    for before, corner, after in zip(np.roll(corners, 1, 0), corners, np.roll(corners, -1, 0), strict=True):
        start, end = (
            corner + rounding * (other - corner) / np.linalg.norm(other - corner) for other in (before, after)
        )
        vertices += [start, corner, end]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    codes[0] = Path.MOVETO
    return Path([*vertices, vertices[0]], [*codes, Path.CLOSEPOLY])


def _box(left: float, bottom: float, right: float, top: float, rounding: float = 0.0) -> Path:
    return _polygon([(left, bottom), (right, bottom), (right, top), (left, top)], rounding)


def _line(points: Sequence[Point], bend: int | None = None) -> Path:
    """An open line; the point at index `bend` is the control point of a quadratic curve between its neighbors."""
    codes = [Path.MOVETO] + [Path.LINETO] * (len(points) - 1)
    if bend is not None:
        codes[bend] = codes[bend + 1] = Path.CURVE3
    return Path(points, codes)


def _head(tip: Point, degrees: float, length: float, width: float) -> Path:
    """The head of an arrow that points `degrees` counter-clockwise from the right."""
    shape = _polygon([(0, 0), (-length, width / 2), (-length, -width / 2)])
    return shape.transformed(Affine2D().rotate_deg(degrees).translate(*tip))


def _text(text: str, width: float, height: float) -> Path:
    """Text in the bold sans serif that matplotlib ships, stretched to a box around the origin."""
    font = FilePath(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    path = TextPath((0, 0), text, size=1, prop=FontProperties(fname=str(font)))
    box = path.get_extents()
    fit = Affine2D().translate(-(box.x0 + box.x1) / 2, -(box.y0 + box.y1) / 2)
    return path.transformed(fit.scale(width / box.width, height / box.height))


def _mirrored(drawing: _Drawing) -> _Drawing:
    flip = Affine2D().scale(-1, 1)
    return drawing[0].transformed(flip), [layer._replace(path=layer.path.transformed(flip)) for layer in drawing[1]]


def _prohibition(*content: _Layer) -> _Drawing:
    outline = Path.circle((0, 0), 1)
    discs = [_Layer(outline, WHITE), _Layer(Path.circle((0, 0), 0.97), RED), _Layer(Path.circle((0, 0), 0.76), WHITE)]
    return outline, [*discs, *content]


def _mandatory(*content: _Layer) -> _Drawing:
    outline = Path.circle((0, 0), 1)
    return outline, [_Layer(outline, WHITE), _Layer(Path.circle((0, 0), 0.95), BLUE), *content]


def _triangle(scale: float, up: bool) -> Path:
    """An equilateral triangle, of width 2 where scale is 1, shrunk towards its center of gravity."""
    height, center = 3**0.5 / 2, -(3**0.5) / 6
    points = [(-1, -height), (1, -height), (0, height)]
    inner = [(scale * x, (y - center) * scale + center) for x, y in points]
    return _polygon([(x, y if up else -y) for x, y in inner], rounding=0.16 * scale)


def _warning(*content: _Layer, up: bool = True) -> _Drawing:
    outline = _triangle(1.0, up)
    return outline, [
        _Layer(outline, WHITE),
        _Layer(_triangle(0.95, up), RED),
        _Layer(_triangle(0.66, up), WHITE),
        *content,
    ]


def _speed_limit(number: int) -> _Drawing:
    digits = str(number)
    return _prohibition(_Layer(_text(digits, 1.06 if len(digits) == 2 else 1.24, 0.74), BLACK))


def _car(x: float, y: float, color: Color, lorry: bool = False) -> list[_Layer]:
    """A car or a lorry from behind, 0.6 wide, its wheels' axle at (x, y)."""
    cabin = [(-0.5, 0), (0.5, 0), (0.5, 0.38), (0.34, 0.45), (0.24, 0.8), (-0.24, 0.8), (-0.34, 0.45), (-0.5, 0.38)]
    window = [(-0.24, 0.45), (0.24, 0.45), (0.17, 0.68), (-0.17, 0.68)]
    wheels = [_box(side - 0.13, -0.2, side + 0.13, 0.1) for side in (-0.33, 0.33)]
    body = _box(-0.5, 0, 0.5, 1.2, rounding=0.06) if lorry else _polygon(cabin, rounding=0.05)
    holes = [_box(-0.36, 0.66, 0.36, 1.02)] if lorry else [_polygon(window)]
    lights = [Path.circle((side, 0.2), 0.075) for side in (-0.33, 0.33)]
    place = Affine2D().scale(0.6).translate(x, y)
    layers = [_Layer(path, color) for path in (*wheels, body)] + [_Layer(path, WHITE) for path in (*holes, *lights)]
    return [layer._replace(path=layer.path.transformed(place)) for layer in layers]


def _no_overtaking(lorry: bool) -> _Drawing:
    return _prohibition(*_car(-0.34, -0.29, RED, lorry), *_car(0.34, -0.29, BLACK))


def _stop() -> _Drawing:
    octagon = [(np.cos(a) / np.cos(np.pi / 8), np.sin(a) / np.cos(np.pi / 8)) for a in np.pi * (np.arange(8) + 0.5) / 4]
    outline, field = (_polygon([(s * x, s * y) for x, y in octagon], rounding=0.05) for s in (1.0, 0.93))
    return outline, [_Layer(outline, WHITE), _Layer(field, RED), _Layer(_text("STOP", 1.52, 0.56), WHITE)]


def _no_entry() -> _Drawing:
    outline = Path.circle((0, 0), 1)
    bar = _box(-0.72, -0.19, 0.72, 0.19, rounding=0.03)
    return outline, [_Layer(outline, WHITE), _Layer(Path.circle((0, 0), 0.95), RED), _Layer(bar, WHITE)]


def _priority_road() -> _Drawing:
    shapes = [_polygon([(s, 0), (0, s), (-s, 0), (0, -s)], rounding=0.12 * s) for s in (1.0, 0.96, 0.92, 0.64)]
    colors = (WHITE, BLACK, WHITE, YELLOW)
    return shapes[0], [_Layer(path, color) for path, color in zip(shapes, colors, strict=True)]


def _priority_at_junction() -> _Drawing:
    return _warning(
        _Layer(_box(-0.09, -0.60, 0.09, 0.02), BLACK),
        _Layer(_head((0, 0.26), 90, 0.38, 0.36), BLACK),
        _Layer(_box(-0.31, -0.44, 0.31, -0.31), BLACK),
    )


def _curve_left() -> _Drawing:
    bend = _line([(0.17, -0.60), (0.17, -0.42), (0.17, -0.2), (-0.03, 0.0)], bend=2)
    return _warning(_Layer(bend, BLACK, 0.17), _Layer(_head((-0.145, 0.115), 135, 0.27, 0.38), BLACK))


def _pedestrian_crossing() -> _Drawing:
    limbs = [
        ([(0.01, 0.02), (-0.01, -0.18)], 0.15),
        ([(-0.03, -0.20), (0.07, -0.32), (0.14, -0.48)], 0.085),
        ([(-0.02, -0.20), (-0.07, -0.34), (-0.18, -0.47)], 0.085),
        ([(0.05, 0.04), (0.13, -0.08), (0.20, -0.10)], 0.06),
        ([(-0.03, 0.04), (-0.11, -0.06), (-0.14, -0.16)], 0.06),
    ]
    stripes = [_box(x - 0.065, -0.64, x + 0.065, -0.56) for x in (-0.40, -0.20, 0.0, 0.20, 0.40)]
    return _warning(
        _Layer(Path.circle((0.02, 0.20), 0.08), BLACK),
        *(_Layer(_line(points), BLACK, width) for points, width in limbs),
        *(_Layer(stripe, BLACK) for stripe in stripes),
    )


def _turn_right_ahead() -> _Drawing:
    bend = _line([(-0.30, -0.62), (-0.30, -0.10), (-0.30, 0.20), (0.0, 0.20), (0.22, 0.20)], bend=2)
    return _mandatory(_Layer(bend, WHITE, 0.26), _Layer(_head((0.66, 0.20), 0, 0.46, 0.72), WHITE))


def _roundabout() -> _Drawing:
    radius, layers = 0.52, []
    for start in (-60, 60, 180):
        end = np.deg2rad(start + 68)
        layers.append(_Layer(Path.arc(start, start + 70).transformed(Affine2D().scale(radius)), WHITE, 0.19))
        # The head's middle, not its tip, lies on the circle, so that it follows the bend.
        tip = (
            radius * np.cos(end) - 0.30 * np.sin(end) - 0.07 * np.cos(end),
            radius * np.sin(end) + 0.30 * np.cos(end) - 0.07 * np.sin(end),
        )
        layers.append(_Layer(_head(tip, start + 68 + 106, 0.34, 0.46), WHITE))
    return _mandatory(*layers)


_DRAWINGS: dict[str, Callable[[], _Drawing]] = {
    **{f"speed limit {number}": partial(_speed_limit, number) for number in (30, 50, 60, 70, 80, 100, 120)},
    "no overtaking": partial(_no_overtaking, lorry=False),
    "no overtaking by lorries": partial(_no_overtaking, lorry=True),
    "stop": _stop,
    "yield": partial(_warning, up=False),
    "no entry": _no_entry,
    "priority road": _priority_road,
    "priority at junction": _priority_at_junction,
    "curve left": _curve_left,
    "curve right": lambda: _mirrored(_curve_left()),
    "pedestrian crossing": _pedestrian_crossing,
    "turn left ahead": lambda: _mirrored(_turn_right_ahead()),
    "turn right ahead": _turn_right_ahead,
    "roundabout": _roundabout,
}

NAMES: tuple[str, ...] = tuple(_DRAWINGS)
"""The signs that can be drawn, in the order of their labels."""


def _rasterize(layers: Sequence[_Layer], pixels: int) -> NDArray[np.float32]:
    """Paint layers on black: (3, pixels, pixels) float32 in [0, 1]."""
    figure = Figure(figsize=(1, 1), dpi=pixels, facecolor="black")
    canvas = FigureCanvasAgg(figure)
    place = Affine2D().translate(1, 1).scale(pixels / 2)
    for path, color, stroke in layers:
        # Two units are one inch, so one unit of stroke is 36 points.
        style = {"edgecolor": color, "linewidth": 36 * stroke} if stroke else {"edgecolor": "none", "linewidth": 0}
        patch = PathPatch(path, facecolor="none" if stroke else color, antialiased=True, snap=False, **style)
        patch.set_capstyle("butt" if stroke > 0.15 else "round")
        patch.set_joinstyle("round")
        patch.set_transform(place)
        figure.add_artist(patch)
    canvas.draw()
    painted = np.asarray(canvas.buffer_rgba())[..., :3]
    return np.ascontiguousarray(painted.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)


@lru_cache(maxsize=64)
def draw(name: str, pixels: int = 256) -> Face:
    """Draw one sign, clean and straight on, with antialiased edges; the answer is cached and read-only.

    Args:
        name: one of `NAMES`.
        pixels: T, the side of the texture, in pixels, >= 8.

    Returns:
        The face, with a texture of (4, T, T).

    Raises:
        ValueError: an unknown name, or a texture that is too small.

    Source: shapes and colors after the Vienna Convention on Road Signs and Signals (1968), Annex 1, simplified.
    """
    checks.one_of("name", name, NAMES)
    checks.in_range("pixels", pixels, low=8)
    outline, layers = _DRAWINGS[name]()
    opacity = _rasterize([_Layer(outline, (1.0, 1.0, 1.0))], pixels)[:1]
    # Painted over the sign's backing without a gap, so the coverage at its edge is counted once: by the opacity.
    color = _rasterize([_Layer(_box(-1, -1, 1, 1), layers[0].color), *layers], pixels)
    texture = np.concatenate([color * opacity, opacity])
    texture.flags.writeable = False
    return Face(texture, outline.to_polygons()[0] * (1.0, -1.0))
