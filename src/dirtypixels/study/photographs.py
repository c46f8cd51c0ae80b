"""The photographs of a study: what is trained on, judged, and held out."""

from __future__ import annotations

from functools import cached_property

from pydantic import JsonValue

from dirtypixels.data import FolderPhotos, InMemory, Photo, PhotoSet, RoadSigns
from dirtypixels.recipe import Recipe
from dirtypixels.tasks import class_names


class Photographs:
    """The photographs that a recipe asks for, each set opened on first use.

    Args:
        recipe: of the study.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    @cached_property
    def training_photos(self) -> PhotoSet:
        data = self.recipe.data
        if data.kind == "signs":
            assert data.train is not None
            return self._kept(RoadSigns("train", data.train, data.size, self.recipe.seed))
        assert data.root is not None
        return self._kept(FolderPhotos(data.root, "train", data.size, count=data.train, seed=self.recipe.seed))

    @cached_property
    def judged_photos(self) -> PhotoSet:
        data, seed = self.recipe.data, self.recipe.seed
        held_out = data.judge == "held_out"
        if data.kind == "signs":
            assert data.train is not None
            assert data.test is not None
            if held_out:
                return self._kept(
                    Part(RoadSigns("train", data.train + data.test, data.size, seed), data.train, data.test)
                )
            return self._kept(RoadSigns("test", data.test, data.size, seed))
        assert data.root is not None
        first = (data.train or 0) if held_out else 0
        split = "train" if held_out else "val"
        photos = FolderPhotos(data.root, split, data.size, first=first, count=data.test, seed=seed)
        trained, judged = self.training_photos.classes, photos.classes
        if trained != judged:
            # Labels count the folders, so that one more or less would give every class after it another number.
            raise ValueError(
                f"data.root must hold the same classes in 'train' and {split!r}; found only in one of them: "
                f"{sorted(set(trained) ^ set(judged))}"
            )
        return self._kept(photos)

    @cached_property
    def held_out_photos(self) -> PhotoSet:
        """Training photographs that no training uses and nothing is judged on, to calibrate confidence."""
        data, light, seed = self.recipe.data, self.recipe.light, self.recipe.seed
        assert light is not None
        assert data.train is not None
        first = data.train + ((data.test or 0) if data.judge == "held_out" else 0)
        if data.kind == "signs":
            return self._kept(Part(RoadSigns("train", first + light.held_out, data.size, seed), first, light.held_out))
        assert data.root is not None
        return self._kept(FolderPhotos(data.root, "train", data.size, first=first, count=light.held_out, seed=seed))

    def _kept(self, photos: PhotoSet) -> PhotoSet:
        return InMemory(photos) if self.recipe.data.memory else photos

    def data_summary(self) -> dict[str, JsonValue]:
        """What the photographs are, for the record."""
        data = self.recipe.data
        return {
            "kind": data.kind,
            "size": data.size,
            "training photographs": len(self.training_photos),
            "judged photographs": len(self.judged_photos),
            "judged on": data.judge,
            "classes": list(class_names(self.training_photos.classes)),
        }


class Part:
    """Some photographs of a data set: `count` of them, from index `first` on."""

    def __init__(self, photos: PhotoSet, first: int, count: int) -> None:
        self.classes, self._photos, self._first, self._count = photos.classes, photos, first, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Photo:
        return self._photos[index + self._first]
