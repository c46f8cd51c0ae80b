"""The built-in data set: photographs of road signs, generated from a seed, with nothing to download."""

from __future__ import annotations

import operator
from functools import lru_cache
from pathlib import Path

import numpy as np
import skimage
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from dirtypixels import checks
from dirtypixels.data import sign_faces
from dirtypixels.data.photos import Photo

# NumPy and Pillow, because torch would split work as small as this among threads, which costs far more than it saves.
Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]

_SPLITS = ("train", "test")
# Only photographs within scikit-image's wheel. Of the stereo pair one: the other would show test what train has seen.
_PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
_COVERAGE = (0.55, 0.85)  # the longer side of the sign, of the frame's
_DISTANCE = 4.0  # from the lens to the sign, in halves of the sign's width: how strong the perspective is
_OVERSAMPLING = 3  # samples per pixel and axis, averaged: no jagged edges
_LABELS, _LOOKS = 1, 2  # what a random stream is for, so that no two streams are the same


class RoadSigns:
    """Photographs of road signs: classes that differ in fine detail, which noise and blur take away first.

    A sign of the Vienna Convention's style is turned in space, placed on a post before a crop of one of scikit-image's
    photographs, soiled, and lit unevenly: in each pixel, with opacity a,

        scene = clip(light * (a * sign + (1 - a) * background), 0, 1)

    Train takes its backgrounds from one half of each photograph and test from the other. Photo i depends on
    (seed, split, size, i) alone: not on `count`, the order of access, or the process. Each class occurs once in each
    full run of len(classes) photos. Values are those of a picture file (sRGB-coded), made when asked for.

    Args:
        split: "train" or "test".
        count: number of photos, >= 1.
        size: height and width of a photo, in pixels, >= 16.
        seed: >= 0; another seed is another data set with the same classes.

    Raises:
        TypeError: count, size or seed is not an int.
        ValueError: an unknown split, or count, size or seed too small.

    Example:
        >>> from dirtypixels.data import RoadSigns
        >>> signs = RoadSigns("test", count=100, size=32)
        >>> scene, label, key = signs[7]
        >>> scene.shape, key, len(signs.classes)
        (torch.Size([3, 32, 32]), 'signs/test/000007', 20)
    """

    classes: tuple[str, ...] = sign_faces.NAMES

    def __init__(self, split: str = "train", count: int = 1000, size: int = 64, seed: int = 0) -> None:
        checks.one_of("split", split, _SPLITS)
        for name, value, low in (("count", count, 1), ("size", size, 16), ("seed", seed, 0)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be an int; found {type(value).__name__}")
            if value < low:
                raise ValueError(f"{name} must be at least {low}; found {value}")
        self.split, self.count, self.size, self.seed = split, count, size, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Photo:
        """Photo `index`; negative ones count from the end.

        Raises:
            IndexError: there is no such photo.
        """
        found = operator.index(index)
        if not -self.count <= found < self.count:
            raise IndexError(f"index must be in [{-self.count}, {self.count - 1}]; found {found}")
        number = found % self.count
        label = self._label(number)
        # Twice the frame: 2.3 to 4.5 texels along a pixel, which its three bilinear samples cover without a gap.
        face = sign_faces.draw(self.classes[label], 2 * self.size)
        scene = _photograph(face, self.size, self.split, self._stream(_LOOKS, number))
        return Photo(torch.from_numpy(scene), label, f"signs/{self.split}/{number:06d}")

    def _label(self, number: int) -> int:
        run, place = divmod(number, len(self.classes))
        return int(self._stream(_LABELS, run).permutation(len(self.classes))[place])

    def _stream(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng([purpose, _SPLITS.index(self.split), number, self.seed])


def _photograph(face: sign_faces.Face, size: int, split: str, rng: np.random.Generator) -> Floats:
    """A sign with random pose, place, dirt, background and light: (3, size, size) in [0, 1]."""
    scene = _background(size, split, rng)
    u, v = _face_coordinates(_placement(face.outline, size, rng), size)
    for layer in (_post(u, v, size), _soiled(_sampled(face.texture, u, v), rng)):
        scene = layer[:3] + (1 - layer[3:]) * scene
    scene *= _light(size, rng)
    return scene.clip(0, 1)


@lru_cache(maxsize=len(_SPLITS))
def _halves(split: str) -> tuple[Image.Image, ...]:
    """The half of each photograph that a split takes its backgrounds from, in RGB."""
    halves = []
    for name in _PHOTOGRAPHS:
        with Image.open(Path(skimage.__file__).parent / "data" / name) as file:
            photograph = file.convert("RGB")
        width, height = photograph.size
        box = (0, 0, width // 2, height) if split == "train" else (width // 2, 0, width, height)
        halves.append(photograph.crop(box))
    return tuple(halves)


def _background(size: int, split: str, rng: np.random.Generator) -> Floats:
    """A random square of a photograph, perhaps mirrored, at the size of the frame: (3, size, size)."""
    halves = _halves(split)
    half = halves[rng.integers(len(halves))]
    side = min(half.size) * rng.uniform(0.4, 1.0)
    left, top = rng.uniform(size=2) * (np.array(half.size) - side)
    # Pillow widens its filter where it shrinks, so nothing aliases.
    crop = half.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    pixels = np.asarray(crop).transpose(2, 0, 1).astype(np.float32, order="C") / np.float32(255)
    return pixels[..., ::-1] if rng.uniform() < 0.5 else pixels


def _placement(outline: Matrix, size: int, rng: np.random.Generator) -> Matrix:
    """The homography (3, 3) from the sign's plane, (u, v, 1), to the frame in pixels, (x, y, 1).

    The plane is turned by roll, yaw and pitch, seen from `_DISTANCE`, and then scaled and shifted so that the outline's
    longer side covers a random part of the frame and all of the outline lies within it.
    """
    roll, yaw, pitch = np.deg2rad([rng.uniform(-8, 8), rng.uniform(-35, 35), rng.uniform(-20, 20)])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    turned = about_z @ about_y @ about_x
    view = np.array([[*turned[0, :2], 0], [*turned[1, :2], 0], [*(turned[2, :2] / _DISTANCE), 1]])
    points = _mapped(view, outline)
    low, extent = points.min(0), np.ptp(points, axis=0)
    scale = rng.uniform(*_COVERAGE) * size / extent.max()
    corner = rng.uniform(0.1, 0.9, size=2) * (size - scale * extent)
    shift = corner - scale * low
    to_frame: Matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]]) @ view
    return to_frame


def _mapped(homography: Matrix, points: Matrix) -> Matrix:
    """Points (N, 2) under a homography (3, 3): (N, 2)."""
    homogeneous = points @ homography[:, :2].T + homography[:, 2]
    mapped: Matrix = homogeneous[:, :2] / homogeneous[:, 2:]
    return mapped


def _face_coordinates(homography: Matrix, size: int) -> tuple[Floats, Floats]:
    """Where in the sign's plane each sample of the frame lies: u and v, both (n, n) with n = `_OVERSAMPLING` size."""
    inverse = np.linalg.inv(homography).astype(np.float32)
    x = (np.arange(_OVERSAMPLING * size, dtype=np.float32) + np.float32(0.5)) / np.float32(_OVERSAMPLING)
    u, v, w = (row[0] * x + (row[1] * x[:, None] + row[2]) for row in inverse)
    return u / w, v / w


def _averaged(samples: Floats) -> Floats:
    """The samples (C, n, n) of each pixel, averaged: (C, size, size)."""
    total = np.zeros([len(samples), *(n // _OVERSAMPLING for n in samples.shape[1:])], dtype=np.float32)
    for i in range(_OVERSAMPLING):
        for j in range(_OVERSAMPLING):
            total += samples[:, i::_OVERSAMPLING, j::_OVERSAMPLING]
    return total / np.float32(_OVERSAMPLING**2)


def _sampled(texture: Floats, u: Floats, v: Floats) -> Floats:
    """The sign in the frame, nothing around it: (4, size, size), color times opacity, then opacity."""
    where = torch.from_numpy(np.stack([u, v], axis=-1)[None])
    # On a batch of one this runs in one thread.
    samples = functional.grid_sample(torch.from_numpy(texture[None].copy()), where, align_corners=False)
    return _averaged(samples[0].numpy())


def _post(u: Floats, v: Floats, size: int) -> Floats:
    """The gray tube that carries the sign, below its middle: (4, size, size) as the sign."""
    radius = 0.06
    across = u / radius
    opacity = ((1 - np.abs(across)) * (radius * size) + 0.5).clip(0, 1) * (v > 0)
    gray = 0.35 + 0.3 * (1 - (across - 0.3) ** 2).clip(0, 1)
    return _averaged(np.stack([gray * opacity, opacity]))[[0, 0, 0, 1]]


def _soiled(sign: Floats, rng: np.random.Generator) -> Floats:
    """The sign under thin patches of dirt, of random extent; the opacity stays."""
    coarse = rng.uniform(-1, 1, size=(6, 6))
    hats = np.maximum(0, 1 - np.abs(np.linspace(0, 5, sign.shape[-1])[:, None] - np.arange(6)))
    cover = (1.5 * (hats @ coarse @ hats.T - rng.uniform(0.0, 0.8))).clip(0, 0.45).astype(np.float32)
    mud = np.array([0.33, 0.28, 0.22], dtype=np.float32)[:, None, None]
    color, opacity = sign[:3], sign[3:]
    return np.concatenate([color + cover * (mud * opacity - color), opacity])


def _light(size: int, rng: np.random.Generator) -> Floats:
    """What each pixel is multiplied by: gain x color cast x slope across the frame x shadow: (3, size, size)."""
    gain = rng.uniform(0.5, 1.05)
    cast = np.exp(rng.uniform(-0.08, 0.08, size=(3, 1, 1)))
    x = np.linspace(-1, 1, size)
    y = x[:, None]
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.2)
    light = gain * (1 + strength * (np.cos(angle) * x + np.sin(angle) * y))
    angle, offset, depth = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5), rng.uniform(0.3, 0.55)
    if rng.uniform() < 0.3:
        light -= light * depth / (1 + np.exp(-12 * (np.cos(angle) * x + np.sin(angle) * y - offset)))
    shades: Matrix = cast * light
    return shades.astype(np.float32)
