"""Reading picture files as scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
import torch
from PIL import Image
from torch import Tensor

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".npy")


def list_pictures(folder: str | Path) -> list[Path]:
    """Every picture file below a folder, in a stable order.

    Raises:
        FileNotFoundError: there is no such folder, or no picture in it.

    Example:
        >>> from importlib.resources import files
        >>> from dirtypixels.data import list_pictures
        >>> "coffee.png" in [path.name for path in list_pictures(files("skimage") / "data")]
        True
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"folder must be a folder of pictures; found no folder at {str(root)!r}")
    found = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise FileNotFoundError(f"folder must hold pictures ({', '.join(SUFFIXES)}); found none in {str(root)!r}")
    return found


def read_picture(path: str | Path) -> Tensor:
    """A picture as a scene, (3, H, W) float32 in [0, 1]; gray pictures are repeated over the channels.

    8-bit and 16-bit files are divided by their largest number (a PNG with 16 bits must be gray; TIFF may have colors);
    floating-point TIFF and NumPy files are taken as they are, (H, W), (H, W, 3) or, for NumPy, (3, H, W).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, of another kind, or holds values outside of [0, 1].

    Example:
        >>> from importlib.resources import files
        >>> from dirtypixels.data import read_picture
        >>> read_picture(files("skimage") / "data" / "coffee.png").shape
        torch.Size([3, 400, 600])
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"picture must be a file; found nothing at {str(file)!r}")
    try:
        values = _read(file)
    except Exception as error:  # the libraries raise whatever a damaged file makes them stumble over
        raise ValueError(f"picture {str(file)!r} cannot be read: {error}") from error
    if values.ndim == 2:
        values = values[:, :, None].repeat(3, axis=2)
    if values.ndim == 3 and values.shape[2] not in (3, 4) and values.shape[0] == 3:
        values = values.transpose(1, 2, 0)
    if values.ndim != 3 or values.shape[2] not in (3, 4) or not values.size:
        raise ValueError(f"picture {str(file)!r} must be gray or have 3 colors; found shape {values.shape}")
    if np.issubdtype(values.dtype, np.unsignedinteger):
        scene = values[:, :, :3].astype(np.float32) / np.iinfo(values.dtype).max
    else:
        scene = values[:, :, :3].astype(np.float32)
    if not np.isfinite(scene).all() or scene.min() < 0 or scene.max() > 1:
        raise ValueError(f"picture {str(file)!r} must have values in [0, 1]; found {scene.min():g} to {scene.max():g}")
    return torch.from_numpy(np.ascontiguousarray(scene.transpose(2, 0, 1)))


def resize(scene: Tensor, size: int) -> Tensor:
    """A square picture of `size` pixels: the shorter side reduced (antialiased) or enlarged to it, the middle kept.

    Args:
        scene: (3, H, W) in [0, 1].
        size: pixels, >= 1.

    Example:
        >>> import torch
        >>> from dirtypixels.data import resize
        >>> resize(torch.rand(3, 60, 80), 32).shape
        torch.Size([3, 32, 32])
    """
    height, width = scene.shape[-2:]
    scale = size / min(height, width)
    new = (max(size, round(height * scale)), max(size, round(width * scale)))
    if new != (height, width):
        scene = torch.nn.functional.interpolate(
            scene[None], size=new, mode="bilinear", antialias=True, align_corners=False
        )[0]
    top, left = (new[0] - size) // 2, (new[1] - size) // 2
    return scene[:, top : top + size, left : left + size].clamp(0, 1).contiguous()


def _read(file: Path) -> npt.NDArray[Any]:
    suffix = file.suffix.lower()
    if suffix == ".npy":
        return np.asarray(np.load(file, allow_pickle=False))
    if suffix in (".tif", ".tiff"):
        return np.asarray(tifffile.imread(file))
    with Image.open(file) as image:
        if image.mode in ("I;16", "I;16B", "I"):
            return np.asarray(image).astype(np.uint16)
        if image.format == "PNG" and ";16" in str(image.tile[0].args):
            raise ValueError("of its 16 bits a color only 8 would be read; save it as TIFF")  # Pillow drops the rest
        return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
