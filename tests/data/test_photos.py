"""Photographs in folders, and photographs kept in memory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dirtypixels.data import FolderPhotos, InMemory, Photo

COUNTS = {"train": {"n2": 5, "n1": 4, "n3": 3}, "val": {"n1": 2, "n2": 1, "n3": 1}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Pictures of one color each, which tells where they come from."""
    red = 0
    for split, classes in COUNTS.items():
        for name, count in classes.items():
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                red += 7
                values = np.full((10, 14, 3), (red, 100, 200), dtype=np.uint8)
                Image.fromarray(values).save(tmp_path / split / name / f"{i}.png")
    return tmp_path


def keys(photos: FolderPhotos) -> list[str]:
    return [photos[i].key for i in range(len(photos))]


class TestFolderPhotos:
    def test_every_photograph_once_with_its_class(self, root: Path) -> None:
        photos = FolderPhotos(root, "train", 8)
        assert photos.classes == ("n1", "n2", "n3")
        assert len(photos) == 12
        assert len(set(keys(photos))) == 12
        found = [photos[i] for i in range(12)]
        assert Counter(photos.classes[p.label] for p in found) == COUNTS["train"]
        assert all(p.key.split("/")[:2] == ["train", photos.classes[p.label]] for p in found)

    def test_the_scene_is_the_picture_at_the_size_asked_for(self, root: Path) -> None:
        photos = FolderPhotos(root, "val", 8)
        for i in range(len(photos)):
            photo = photos[i]
            with Image.open(root / photo.key) as image:
                color = torch.tensor(image.getpixel((0, 0))) / 255
            assert photo.scene.shape == (3, 8, 8)
            assert photo.scene.dtype == torch.float32
            # All pixels are equal, so resizing keeps their value but for the rounding of its weights.
            torch.testing.assert_close(photo.scene, color.view(3, 1, 1).expand(3, 8, 8), rtol=0, atol=1e-6)

    def test_keys_do_not_depend_on_where_the_root_is(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(root.parent)
        assert keys(FolderPhotos(root.name, "train", 8)) == keys(FolderPhotos(root, "train", 8))

    def test_the_order_depends_on_the_seed_alone(self, root: Path) -> None:
        one, again, other = (
            keys(FolderPhotos(root, "train", size, seed=seed)) for size, seed in ((8, 0), (4, 0), (8, 1))
        )
        assert one == again
        assert one != other
        assert one != sorted(one)
        assert sorted(one) == sorted(other)

    def test_first_and_count_take_parts_that_do_not_overlap(self, root: Path) -> None:
        whole = keys(FolderPhotos(root, "train", 8, seed=5))
        start = keys(FolderPhotos(root, "train", 8, count=5, seed=5))
        middle = keys(FolderPhotos(root, "train", 8, first=5, count=4, seed=5))
        rest = keys(FolderPhotos(root, "train", 8, first=9, seed=5))
        assert start + middle + rest == whole

    def test_raises_for_more_than_there_are(self, root: Path) -> None:
        with pytest.raises(ValueError, match=r"must hold at least 13 photographs; found 12"):
            FolderPhotos(root, "train", 8, first=3, count=10)

    def test_raises_for_a_split_that_is_not_there(self, root: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"data\.root must hold a folder 'test'; found none at '.*test'"):
            FolderPhotos(root, "test", 8)

    def test_raises_without_classes(self, tmp_path: Path) -> None:
        (tmp_path / "train" / "only").mkdir(parents=True)
        with pytest.raises(FileNotFoundError, match=r"a folder for each class, 2 at least; found \('only',\)"):
            FolderPhotos(tmp_path, "train", 8)

    def test_raises_for_a_class_without_pictures(self, root: Path) -> None:
        (root / "train" / "n4").mkdir()
        (root / "train" / "n4" / "note.txt").write_text("no picture")
        with pytest.raises(FileNotFoundError, match=r"must hold pictures .*n4"):
            FolderPhotos(root, "train", 8)

    def test_raises_for_a_damaged_picture_and_names_it(self, root: Path) -> None:
        (root / "val" / "n3" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
        photos = FolderPhotos(root, "val", 8)
        with pytest.raises(ValueError, match=r"n3.0\.png.* cannot be read"):
            [photos[i] for i in range(len(photos))]

    def test_raises_beyond_the_end(self, root: Path) -> None:
        with pytest.raises(IndexError):
            FolderPhotos(root, "val", 8)[4]


class Counting:
    """Random scenes, and how often each was made."""

    classes: tuple[str, ...] = ("a", "b")

    def __init__(self) -> None:
        self.made: Counter[int] = Counter()

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Photo:
        self.made[index] += 1
        scene = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(index))
        return Photo(scene, index % 2, f"photo/{index}")


class TestInMemory:
    def test_each_is_made_once(self) -> None:
        source = Counting()
        kept = InMemory(source)
        assert source.made == {}  # not before it is asked for
        for _ in range(3):
            for i in (2, 0):
                kept[i]
        assert source.made == {0: 1, 2: 1}

    def test_values_are_within_half_a_level_and_the_same_in_every_pass(self) -> None:
        kept = InMemory(Counting())
        first, second = kept[1], kept[1]
        assert torch.equal(first.scene, second.scene)
        assert first.scene.dtype == torch.float32
        # Half of 1/255, and what float32 adds to it.
        assert float((first.scene - Counting()[1].scene).abs().max()) <= 0.5 / 255 + 2**-23
        levels = first.scene * 255
        assert float((levels - levels.round()).abs().max()) < 1e-4

    def test_label_key_and_classes_stay(self) -> None:
        kept = InMemory(Counting())
        assert kept.classes == ("a", "b")
        assert len(kept) == 3
        assert [(kept[i].label, kept[i].key) for i in range(3)] == [(0, "photo/0"), (1, "photo/1"), (0, "photo/2")]

    def test_a_scene_that_is_changed_does_not_change_what_is_kept(self) -> None:
        kept = InMemory(Counting())
        before = kept[0].scene.clone()
        kept[0].scene.zero_()
        assert torch.equal(kept[0].scene, before)
