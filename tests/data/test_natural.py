"""Natural patches: from the shipped pictures without a network, and from a folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dirtypixels.data.natural import PatchSampler, natural_patches, natural_pictures, split_pictures

OFFLINE = """
import socket

def refuse(*arguments, **named):
    raise AssertionError("a connection was asked for")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from dirtypixels.data.natural import natural_pictures
print(len(natural_pictures()))
"""


def test_shipped_pictures_need_no_network(tmp_path: Path) -> None:
    # A fresh home, so that nothing that was downloaded before can help.
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "SKIMAGE_DATADIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE], env=os.environ | home, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 5


def test_shipped_pictures_are_scenes() -> None:
    for picture in natural_pictures():
        assert picture.dtype == torch.float32
        assert picture.ndim == 3
        assert picture.shape[0] == 3
        assert min(picture.shape[1:]) >= 128
        assert float(picture.min()) >= 0
        assert 0.5 < float(picture.max()) <= 1
        assert float(picture.std()) > 0.05


@pytest.mark.parametrize(("gray", "channels"), [(True, 1), (False, 3)])
@pytest.mark.parametrize("reduce", [1, 2])
def test_shape_and_range(gray: bool, channels: int, reduce: int) -> None:
    patches = natural_patches(11, 24, gray=gray, reduce=reduce)
    assert patches.shape == (11, channels, 24, 24)
    assert patches.dtype == torch.float32
    assert float(patches.min()) >= 0
    assert float(patches.max()) <= 1
    assert float(patches.std()) > 0.05


def test_the_seed_decides() -> None:
    first = natural_patches(5, 16, seed=3)
    torch.testing.assert_close(natural_patches(5, 16, seed=3), first, rtol=0, atol=0)
    torch.testing.assert_close(natural_patches(9, 16, seed=3)[:5], first, rtol=0, atol=0)  # more only adds
    assert not torch.equal(natural_patches(5, 16, seed=4), first)


def two_pictures(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    pictures = []
    for name in ("a.npy", "b.npy"):
        values = random.random((20, 30, 3)).astype(np.float32)
        np.save(folder / name, values)
        pictures.append(torch.from_numpy(values).permute(2, 0, 1))
    return pictures[0], pictures[1]


def test_patches_are_pieces_of_the_folders_pictures_in_turn(tmp_path: Path) -> None:
    pictures = two_pictures(tmp_path)
    patches = natural_patches(6, 7, gray=False, folder=tmp_path)
    for i, patch in enumerate(patches):
        windows = pictures[i % 2].unfold(1, 7, 1).unfold(2, 7, 1)
        same = (windows == patch[:, None, None]).all(-1).all(-1).all(0)
        assert int(same.sum()) == 1


def test_gray_is_luma_and_reducing_is_averaging(tmp_path: Path) -> None:
    two_pictures(tmp_path)
    color = natural_patches(4, 20, gray=False, folder=tmp_path, seed=1)
    luma = 0.299 * color[:, 0] + 0.587 * color[:, 1] + 0.114 * color[:, 2]
    torch.testing.assert_close(natural_patches(4, 20, folder=tmp_path, seed=1)[:, 0], luma)
    halved = natural_patches(4, 10, gray=False, folder=tmp_path, reduce=2, seed=1)
    quarters = color[..., ::2, ::2] + color[..., 1::2, ::2] + color[..., ::2, 1::2] + color[..., 1::2, 1::2]
    torch.testing.assert_close(halved, quarters / 4)


@pytest.mark.parametrize("name", ["count", "size", "reduce"])
def test_raises_for_numbers_out_of_range(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1; found 0"):
        natural_patches(**{"count": 2, "size": 8} | {name: 0})


def test_raises_for_pictures_that_are_too_small_or_absent(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="folder must hold pictures"):
        natural_patches(2, 8, folder=tmp_path)
    two_pictures(tmp_path)
    with pytest.raises(ValueError, match=re.escape("size x reduce must be at most 20 for these pictures; found 21")):
        natural_patches(2, 21, folder=tmp_path)
    with pytest.raises(ValueError, match=re.escape("size x reduce must be at most 20 for these pictures; found 24")):
        natural_patches(2, 8, reduce=3, folder=tmp_path)


def test_bsds300(shared_data: Path) -> None:
    patches = natural_patches(3, 100, folder=shared_data / "bsds300" / "test")
    assert patches.shape == (3, 1, 100, 100)


def turns(patch: torch.Tensor) -> list[torch.Tensor]:
    """The eight ways in which a square patch can lie."""
    return [turned.rot90(k, (1, 2)) for turned in (patch, patch.flip(2)) for k in range(4)]


def numbered(count: int) -> list[torch.Tensor]:
    """Pictures of 8 bits in which every value is another in its channel, so that a patch tells where it is from."""
    generator = torch.Generator().manual_seed(0)
    values = [torch.randperm(256, generator=generator)[:150].view(1, 10, 15).expand(3, 10, 15) for _ in range(count)]
    return [value / 255 for value in values]


class TestPatchSampler:
    def test_patches_are_pieces_of_the_pictures_in_all_their_turns(self) -> None:
        pictures = numbered(3)
        sampler, seen, places = PatchSampler(pictures, 4), set(), set()
        for patch in sampler(300, torch.Generator().manual_seed(1)):
            found = [
                (i, turn, *place.tolist())
                for i, picture in enumerate(pictures)
                for turn, turned in enumerate(turns(patch))
                for place in (
                    (picture.unfold(1, 4, 1).unfold(2, 4, 1) == turned[:, None, None])
                    .all(-1).all(-1).all(0).nonzero()
                )
            ]  # fmt: skip
            assert len(found) == 1
            seen.add(found[0][1])
            places.add(found[0][2:])
        assert seen == set(range(8))
        assert {min(axis) for axis in zip(*places, strict=True)} == {0}
        assert tuple(max(axis) for axis in zip(*places, strict=True)) == (6, 11)

    def test_no_picture_comes_twice_before_all_have_come(self) -> None:
        pictures = [torch.full((3, 5, 5), i / 255) for i in range(7)]
        patches = PatchSampler(pictures, 2)(16, torch.Generator().manual_seed(0))
        values = [round(255 * float(patch.mean())) for patch in patches]
        assert sorted(values[:7]) == sorted(values[7:14]) == list(range(7))
        assert values[:7] != values[7:14]
        assert values[14] != values[15]

    def test_reducing_is_averaging(self) -> None:
        pictures = numbered(2)
        fine = PatchSampler(pictures, 6)(5, torch.Generator().manual_seed(3))
        coarse = PatchSampler(pictures, 2, reduce=3)(5, torch.Generator().manual_seed(3))
        torch.testing.assert_close(coarse, fine.unflatten(3, (2, 3)).unflatten(2, (2, 3)).mean((3, 5)))

    def test_the_generator_alone_decides(self) -> None:
        pictures = numbered(2)
        first = PatchSampler(pictures, 4)(5, torch.Generator().manual_seed(3))
        torch.manual_seed(77)
        torch.testing.assert_close(
            PatchSampler(pictures, 4)(5, torch.Generator().manual_seed(3)), first, rtol=0, atol=0
        )
        assert not torch.equal(PatchSampler(pictures, 4)(5, torch.Generator().manual_seed(4)), first)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([], 4), "pictures must be at least 1; found 0"),
            ((numbered(1), 0), "size must be at least 1; found 0"),
            ((numbered(1), 4, 0), "reduce must be at least 1; found 0"),
            ((numbered(2), 4, 3), "size x reduce must be at most 10 for these pictures; found 12"),
        ],
    )
    def test_raises(self, arguments: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            PatchSampler(*arguments)


class TestSplit:
    @pytest.mark.parametrize(
        ("count", "share", "out"), [(9, 0.1, [0]), (21, 0.1, [0, 10, 20]), (5, 0.5, [0, 2, 4]), (2, 0.001, [0])]
    )
    def test_every_nth_is_held_out(self, count: int, share: float, out: list[int]) -> None:
        pictures = [torch.full((1,), float(i)) for i in range(count)]
        training, held_out = (list(map(int, part)) for part in split_pictures(pictures, share))
        assert held_out == out
        assert training == [i for i in range(count) if i not in out]

    def test_the_one_held_out_of_the_shipped_pictures_has_colors(self) -> None:
        (picture,) = split_pictures(natural_pictures())[1]
        assert float(picture.std(0).mean()) > 0.02

    @pytest.mark.parametrize(
        ("count", "share", "message"),
        [
            (1, 0.1, "pictures must be at least 2 to hold one of them out; found 1"),
            (9, 0.0, "held_out must be above 0 and at most 0.5; found 0"),
            (9, 0.6, "held_out must be above 0 and at most 0.5; found 0.6"),
        ],
    )
    def test_raises(self, count: int, share: float, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            split_pictures([torch.zeros(1)] * count, share)
