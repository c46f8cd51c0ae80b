"""Reading pictures: every kind of file as the same scene, and what is refused."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import torch
from PIL import Image

from dirtypixels.data.pictures import SUFFIXES, list_pictures, read_picture, resize

COLOR = np.random.default_rng(0).random((5, 7, 3))
EIGHT = (COLOR * 255).round().astype(np.uint8)
SIXTEEN = (COLOR * 65535).round().astype(np.uint16)


def png16(values: npt.NDArray[np.uint16]) -> bytes:
    """A PNG with 16 bits a color, written by hand: Pillow writes none in color."""
    height, width, channels = values.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    color_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def scene_of(values: npt.NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)


def check(path: Path, expected: npt.NDArray[Any], atol: float = 1e-7) -> None:
    scene = read_picture(path)
    assert scene.dtype == torch.float32
    assert scene.is_contiguous()
    torch.testing.assert_close(scene, scene_of(expected), rtol=0, atol=atol)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".PNG"])
def test_8_bit_color(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, EIGHT)
    else:
        Image.fromarray(EIGHT).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    check(path, EIGHT / 255)


def test_jpeg(tmp_path: Path) -> None:
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    Image.fromarray(flat).save(tmp_path / "picture.jpg", quality=100)
    check(tmp_path / "picture.jpg", flat / 255, atol=2 / 255)  # rounded in another color space


@pytest.mark.parametrize("kind", ["L", "1", "P", "LA", "RGBA"])
def test_8_bit_gray_palette_and_transparency(tmp_path: Path, kind: str) -> None:
    gray = EIGHT[:, :, :1]
    picture = {
        "L": Image.fromarray(gray[:, :, 0]),
        "1": Image.fromarray(gray[:, :, 0] > 127),
        "P": Image.fromarray(gray[:, :, 0]).convert("P"),
        "LA": Image.fromarray(np.concatenate([gray, EIGHT[:, :, 1:2]], 2)),
        "RGBA": Image.fromarray(np.concatenate([EIGHT, gray], 2)),
    }[kind]
    assert picture.mode == kind
    picture.save(tmp_path / "picture.png")
    expected = {"1": (gray > 127) * 1.0, "RGBA": EIGHT / 255}.get(kind, gray / 255)
    check(tmp_path / "picture.png", expected.repeat(3 // expected.shape[2], axis=2))


def test_16_bit_gray_png_keeps_all_16_bits(tmp_path: Path) -> None:
    gray = SIXTEEN[:, :, :1]
    (tmp_path / "picture.png").write_bytes(png16(gray))
    check(tmp_path / "picture.png", gray.repeat(3, axis=2) / 65535)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_raises_for_16_bit_color_png_rather_than_cut_it_to_8_bits(tmp_path: Path, channels: int) -> None:
    values = np.concatenate([SIXTEEN, 65535 - SIXTEEN[:, :, :1]], 2)[:, :, :channels]
    (tmp_path / "picture.png").write_bytes(png16(values))
    with pytest.raises(ValueError, match="of its 16 bits a color only 8 would be read; save it as TIFF"):
        read_picture(tmp_path / "picture.png")


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".npy"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("gray", [False, True])
def test_16_bit_and_float_files(tmp_path: Path, suffix: str, dtype: Any, gray: bool) -> None:
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1.0
    values = (COLOR * top).round(0 if top > 1 else 9).astype(dtype)
    values = values[:, :, 0] if gray else values
    path = tmp_path / f"picture{suffix}"
    if suffix == ".npy":
        np.save(path, values)
    else:
        tifffile.imwrite(path, values, photometric="minisblack" if gray else "rgb")
    check(path, np.repeat(values[:, :, None], 3, axis=2) / top if gray else values / top)


def test_numpy_files_may_have_the_channels_first(tmp_path: Path) -> None:
    np.save(tmp_path / "picture.npy", COLOR.transpose(2, 0, 1).astype(np.float32))
    check(tmp_path / "picture.npy", COLOR)


@pytest.mark.parametrize("value", [-0.01, 1.01, np.nan, np.inf])
def test_raises_for_values_out_of_range(tmp_path: Path, value: float) -> None:
    values = COLOR.astype(np.float32)
    values[1, 2, 0] = value
    np.save(tmp_path / "picture.npy", values)
    with pytest.raises(ValueError, match=r"picture '.*picture.npy' must have values in \[0, 1\]; found"):
        read_picture(tmp_path / "picture.npy")


@pytest.mark.parametrize("shape", [(5, 7, 2), (2, 5, 7), (4, 5, 7, 3), (7,), (0, 7, 3), (0, 0)])
def test_raises_for_other_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "picture.npy", np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match=re.escape("must be gray or have 3 colors; found shape (")):
        read_picture(tmp_path / "picture.npy")


def test_raises_for_missing_files_and_names_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"picture must be a file; found nothing at '.*absent.png'"):
        read_picture(tmp_path / "absent.png")
    with pytest.raises(FileNotFoundError, match="picture must be a file; found nothing at"):
        read_picture(tmp_path)


def test_raises_rather_than_unpickle(tmp_path: Path) -> None:
    np.save(tmp_path / "picture.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read"):
        read_picture(tmp_path / "picture.npy")


def whole_file(tmp_path: Path, suffix: str) -> bytes:
    path = tmp_path / f"whole{suffix}"
    if suffix == ".npy":
        np.save(path, COLOR)
    elif suffix == ".tif":
        tifffile.imwrite(path, EIGHT, compression="zlib")
    elif suffix == ".png":
        path.write_bytes(png16(SIXTEEN[:, :, :1]))
    else:
        Image.fromarray(EIGHT).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif", ".npy"])
def test_raises_for_damaged_files(tmp_path: Path, suffix: str) -> None:
    good, path = whole_file(tmp_path, suffix), tmp_path / f"picture{suffix}"
    for bad in (b"", b"no picture at all", good[:10], good[: len(good) // 2]):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=f"picture '.*picture{suffix}' cannot be read"):
            read_picture(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif", ".npy"])
def test_raises_nothing_else_for_a_damaged_file(tmp_path: Path, suffix: str) -> None:
    good, path = whole_file(tmp_path, suffix), tmp_path / f"picture{suffix}"
    random = np.random.default_rng(0)
    for _ in range(25):
        bad = bytearray(good)
        for place in random.integers(len(bad) // 2, len(bad), size=3):  # the header's sizes would only cost memory
            bad[place] = int(random.integers(256))
        path.write_bytes(bytes(bad))
        try:
            scene = read_picture(path)
        except ValueError:
            continue
        assert bool(((scene >= 0) & (scene <= 1)).all())  # damage that a file's format cannot show


def test_list_pictures_is_sorted_and_takes_only_pictures(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="folder must be a folder of pictures; found no folder at"):
        list_pictures(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"folder must hold pictures \(.jpg, .*; found none in"):
        list_pictures(tmp_path)
    names = ["b/2.png", "b/10.JPG", "a.tif", "c/d/e.npy"]
    for name in [*names, "notes.txt", "b/readme"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [p.relative_to(tmp_path).as_posix() for p in list_pictures(tmp_path)] == sorted(names)
    assert ".jpg" in SUFFIXES


@pytest.mark.parametrize("shape", [(10, 10), (20, 31), (31, 20), (4, 7), (1, 9)])
def test_resize_keeps_the_middle(shape: tuple[int, int]) -> None:
    height, width = shape
    rows, columns = ((torch.arange(n) - (n - 1) / 2) * 0.8 / max(shape) for n in shape)
    rows = rows.view(1, height, 1)
    scene = torch.cat([(rows + 0.5).expand(1, height, width), (columns + 0.5).expand(2, height, width)])
    small = resize(scene, 10)
    assert small.shape == (3, 10, 10)
    # A ramp that is point-symmetric about the middle stays so, if the cut is at the middle to half a pixel.
    # (1.1: the longer side is rounded to whole pixels.)
    step = 1.1 * 0.8 / max(shape) * max(1.0, min(shape) / 10)
    assert float((small + small.flip(-1, -2) - 1).abs().max()) <= step + 1e-6


def test_resize_of_a_square_of_that_size_is_the_picture_itself() -> None:
    scene = torch.rand(3, 10, 10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(resize(scene, 10), scene, rtol=0, atol=0)
    assert float(resize(torch.ones(3, 7, 9), 5).min()) == pytest.approx(1, abs=1e-6)


def test_real_photographs(shared_data: Path) -> None:
    folder = shared_data / "bsds300" / "test"
    paths = list_pictures(folder)
    assert len(paths) == 100
    scene = read_picture(paths[0])
    assert tuple(sorted(scene.shape)) == (3, 321, 481)
    assert 0.05 < float(scene.mean()) < 0.95
