"""A study's folder and what is trained in it: photographs, captures, units and models, each made once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import nn

from dirtypixels.camera import Camera
from dirtypixels.data import Captures, FolderPhotos, InMemory, Photo, PhotoSet, RoadSigns
from dirtypixels.deploy import ModelCard, load_model, save_model
from dirtypixels.deploy.units import build_unit
from dirtypixels.files import write_text
from dirtypixels.recipe import AnyCondition, AnyUnit, Classical, Condition, FineTuning, Network, Recipe, in_todays_keys
from dirtypixels.study.figures import pretraining_curve
from dirtypixels.study.results import Model
from dirtypixels.tasks import JointModel, class_names, classifier, imagenet_indices
from dirtypixels.train import PatchCaptures, finetune, pretrain, pretrain_adam


class Experiment:
    """A study's folder and everything trained in it; what is there already is used, what is missing is made.

    Args:
        recipe: of the study.
        folder: where everything is kept. It belongs to this recipe from the first thing on that is made in it.
        console: where progress is shown; None for no progress.

    Raises:
        ValueError: the folder belongs to another recipe; the message names the keys that differ. More trainings are no
            other recipe: what is there is used, and what is missing is trained.
    """

    def __init__(self, recipe: Recipe, folder: str | Path, console: Console | None = None) -> None:
        self.recipe, self.folder, self.console = recipe, Path(folder), console
        self.camera = Camera.load(recipe.camera)
        self.device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        self._check_owner()

    def say(self, message: str) -> None:
        if self.console is not None:
            self.console.print(message)

    def progress(self, unit: str = "") -> Progress:
        """A progress bar on the study's console, or one that shows nothing."""
        columns = (
            TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
            TimeElapsedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        return Progress(*columns, console=self.console or Console(quiet=True), transient=False)

    @cached_property
    def training_photos(self) -> PhotoSet:
        return self._photos("train", 0, self.recipe.data.train)

    @cached_property
    def evaluated_photos(self) -> PhotoSet:
        data = self.recipe.data
        held_out = data.evaluate_on == "held_out"
        split = "train" if held_out else "val"
        photos = self._photos(split, (data.train or 0) if held_out else 0, data.test)
        trained, found = self.training_photos.classes, photos.classes
        if trained != found:
            # Labels count the folders, so that one more or less would give every class after it another number.
            raise ValueError(
                f"data.root must hold the same classes in 'train' and {split!r}; found only in one of them: "
                f"{sorted(set(trained) ^ set(found))}"
            )
        return photos

    @cached_property
    def held_out_photos(self) -> PhotoSet:
        """Training photographs that no training uses and nothing is evaluated on, to calibrate confidence."""
        data, light = self.recipe.data, self.recipe.light
        assert light is not None
        assert data.train is not None
        first = data.train + ((data.test or 0) if data.evaluate_on == "held_out" else 0)
        return self._photos("train", first, light.held_out)

    def _photos(self, split: str, first: int, count: int | None) -> PhotoSet:
        """So many of a split, all for None, from the first wanted on."""
        data, seed = self.recipe.data, self.recipe.seed
        found: PhotoSet
        if data.kind == "signs":
            assert count is not None
            signs = RoadSigns("train" if split == "train" else "test", first + count, data.size, seed)
            found = Subset(signs, first, count)
        else:
            assert data.root is not None
            found = FolderPhotos(data.root, split, data.size, first=first, count=count, seed=seed)
        return InMemory(found) if data.memory else found

    def data_summary(self) -> dict[str, JsonValue]:
        """What the photographs are, for the record."""
        data = self.recipe.data
        return {
            "kind": data.kind,
            "size": data.size,
            "training photographs": len(self.training_photos),
            "evaluated photographs": len(self.evaluated_photos),
            "evaluated on": data.evaluate_on,
            "classes": list(class_names(self.training_photos.classes)),
        }

    def captures(
        self,
        condition: AnyCondition,
        *,
        training: bool = False,
        flip: bool = False,
        limit: int | None = None,
        photos: PhotoSet | None = None,
        seed: int | None = None,
    ) -> Captures:
        """The study's photographs, or others, in one condition; `limit` keeps the first few only, and `seed` decides
        on noise and order in place of the recipe's."""
        if photos is None:
            photos = self.training_photos if training else self.evaluated_photos
        return Captures(
            photos if limit is None else Subset(photos, 0, min(limit, len(photos))),
            self.camera,
            condition.lux,
            self.recipe.seed if seed is None else seed,
            position=condition.position,
            transfer=self.recipe.transfer,
            training=training,
            flip=flip,
        )

    def unit(self, condition: AnyCondition, name: str | None = None, features: int | None = None) -> nn.Module:
        """The low-level unit, pretrained for a condition: one that deblurs where the condition has a position.

        Args:
            condition: a condition, or a range of light.
            name: of the recipe's units; None for the only one.
            features: in place of the recipe's make another unit, conditioned on the noise.
        """
        described = self._described(condition, name, features)
        unit = build_unit(described)
        file = self.unit_file(condition, name, features)
        finished = file.with_suffix(".json")
        recipe = self.recipe.pretraining
        if not finished.is_file():
            torch.manual_seed(self.recipe.seed)
            unit = build_unit(described)
            adam = recipe.optimizer == "adam"
            captures = PatchCaptures(
                recipe, condition, self.camera, transfer=self.recipe.transfer, seed=self.recipe.seed
            )
            gray = not isinstance(described, Network) and described.color == "shared"
            light, captured = captures.held_out() if adam else captures.fixed(gray)
            self.claim()
            text = f"unit, {file.stem}: {'Adam' if adam else 'L-BFGS'}"
            with self.progress("steps" if adam else "iterations") as bar:
                task = bar.add_task(text, total=recipe.steps if adam else recipe.iterations)

                def report(done: int, psnr: float) -> None:
                    bar.update(task, completed=done, description=f"{text}, {psnr:.2f} dB")

                on_device = light.to(self.device), captured.to(self.device)
                unit.to(self.device)
                if adam:
                    curve = pretrain_adam(unit, captures.fresh, on_device, recipe, state_file=file, report=report)
                else:
                    curve = pretrain(unit, *on_device, recipe.iterations, state_file=file, report=report)
            pretraining_curve(curve, file.with_suffix(".png"), recipe.optimizer)
            write_text(finished, json.dumps({"curve": curve}) + "\n")  # last: it says that all of this is done
        state = torch.load(file, map_location="cpu", weights_only=True)
        unit.load_state_dict(state["unit"])
        return unit.cpu().eval()

    def unit_file(self, condition: AnyCondition, name: str | None = None, features: int | None = None) -> Path:
        """Where a unit is kept, with its curve next to it as .json and .png; the .json says that it is finished."""
        parts = (condition.name, None if features is None else "conditioned", name)
        return self.folder / "units" / f"{'-'.join(part for part in parts if part)}.pt"

    def _described(self, condition: AnyCondition, name: str | None, features: int | None) -> AnyUnit:
        described = self.recipe.units_for(condition)[name]
        return described if features is None else described.model_copy(update={"features": features})

    def curve(self, condition: AnyCondition, name: str | None = None) -> list[tuple[int, float]]:
        """PSNR over the iterations or steps of a unit's pretraining."""
        found = json.loads(self.unit_file(condition, name).with_suffix(".json").read_text(encoding="utf-8"))
        return [(int(i), float(p)) for i, p in found["curve"]]

    def pretrained(self, training: int = 1) -> JointModel:
        """The classifier as it comes, trained on clean photographs first if the recipe says so; no unit.

        training: which of several trainings starts from it. Where nothing was trained on clean photographs, each draws
            anew what no weights were loaded for.
        """
        recipe = self.recipe
        if recipe.clean_training is None:
            return self._untrained(training).eval()
        return self._trained("pretrained", Condition(name="clean", lux=None), recipe.clean_training, self._untrained)

    def finetuned(self, condition: AnyCondition, training: int = 1) -> JointModel:
        """The classifier, trained on the condition's captures; `training` says which of several trainings it is."""
        name = Model.trained("finetuned", condition, training=training).folder
        start = partial(self.pretrained, training)
        return self._trained(name, condition, self.recipe.finetuning, start, training=training)

    def finetuned_behind(
        self, restoration: str, condition: AnyCondition, unit: str | None = None, training: int = 1
    ) -> JointModel:
        """A restoration that stays as it is, and the classifier, trained on what it makes of the condition's captures.

        Args:
            restoration: "unit" for the pretrained one, or a classical method, "nlm", "bm3d" or "hqs".
            condition: to train for.
            unit: name of the recipe's unit, as for `unit`; None for a classical method.
            training: which of several trainings.
        """
        described: AnyUnit | Classical
        if restoration == "unit":
            described = self._described(condition, unit, None)
        else:
            described = Classical.model_validate({"method": restoration})

        def start() -> JointModel:
            restore = build_unit(described) if isinstance(described, Classical) else self.unit(condition, unit)
            return JointModel(restore, self.pretrained(training).head)

        name = Model.trained(f"{restoration}_finetuned", condition, unit, training=training).folder
        finetuning = self.recipe.finetuning
        return self._trained(name, condition, finetuning, start, described, training=training, freeze_unit=True)

    def joint(
        self,
        condition: AnyCondition,
        unit: str | None = None,
        features: int | None = None,
        rounds: int = 1,
        training: int = 1,
    ) -> JointModel:
        """The pretrained unit and the classifier, trained together on the condition's captures; arguments as `unit`.

        Further rounds train on, each with the whole schedule once more and with new noise (warm restarts, Loshchilov
        and Hutter 2017). `training` says which of several trainings it is.
        """
        recipe = self.recipe.finetuning

        def start() -> JointModel:
            if rounds > 1:
                return self.joint(condition, unit, features, rounds - 1, training)
            return JointModel(self.unit(condition, unit, features), self.pretrained(training).head)

        name = Model.trained("joint", condition, unit, features is not None, rounds, training).folder
        described = self._described(condition, unit, features)
        return self._trained(name, condition, recipe, start, described, (rounds - 1) * recipe.epochs, training)

    def _trained(
        self,
        name: str,
        condition: AnyCondition,
        recipe: FineTuning,
        start: Callable[[], JointModel],
        unit: AnyUnit | Classical | None = None,
        first_epoch: int = 0,
        training: int = 1,
        freeze_unit: bool = False,
    ) -> JointModel:
        """The model under a name; where there is none, `start` trained and saved. `unit` describes the start's unit."""
        folder = self.folder / "models" / name
        checkpoint = self.folder / "checkpoints" / f"{name}.ckpt"
        if folder.exists():
            checkpoint.unlink(missing_ok=True)  # of a study that was stopped between the two
            return load_model(folder)[0]
        model = start()
        self.claim()
        self.say(f"training {name}")
        seed = self.recipe.seed + training - 1
        torch.manual_seed(seed)
        captures = self.captures(condition, training=True, flip=recipe.flip, seed=seed)
        finetune(
            model,
            captures,
            recipe,
            checkpoint=checkpoint,
            workers=recipe.workers,
            progress=self.console is not None,
            first_epoch=first_epoch,
            freeze_unit=freeze_unit,
        )
        card = ModelCard(
            network=self.recipe.head.network,
            classes=self.training_photos.classes,
            image_size=self.recipe.data.size,
            upsample=self.recipe.head.upsample,
            unit=unit,
            position=condition.position,
            camera=self.camera.name,
            camera_hash=self.camera.hash,
            lux=condition.lux,
            transfer=self.recipe.transfer,
            recipe=self.recipe.model_dump(mode="json"),
        )
        save_model(model, card, folder)
        checkpoint.unlink(missing_ok=True)
        # What is used is what was saved, so that a study goes on from its files to the same numbers.
        return load_model(folder)[0]

    def _untrained(self, training: int = 1) -> JointModel:
        head, classes = self.recipe.head, self.training_photos.classes
        torch.manual_seed(self.recipe.seed + training - 1)
        if head.classes == "imagenet":
            return JointModel(
                None, classifier(head.network, head.weights, classes=imagenet_indices(classes), upsample=head.upsample)
            )
        count = None if head.classes == "all" else len(classes)
        found = classifier(head.network, head.weights, count, upsample=head.upsample)
        if found.network.num_classes != len(classes):
            raise ValueError(
                f"head.classes 'all' needs data with the {found.network.num_classes} classes of {head.network}; "
                f"found {len(classes)} classes"
            )
        return JointModel(None, found)

    def portable_recipe(self) -> dict[str, JsonValue]:
        """The recipe for the record, with the folders of this machine by their last name only."""
        content: dict[str, Any] = self.recipe.model_dump(mode="json")
        for part, key in (("data", "root"), ("pretraining", "folder")):
            if content[part][key] is not None:
                content[part][key] = os.path.basename(content[part][key])
        return content

    @property
    def _claim_file(self) -> Path:
        return self.folder / "recipe.json"

    def claim(self) -> None:
        """Note in the folder which recipe it belongs to; done before anything is made in it, and not before that."""
        if not self._claim_file.is_file():
            write_text(self._claim_file, json.dumps(self.recipe.model_dump(mode="json"), indent=2) + "\n")

    def _check_owner(self) -> None:
        if not self._claim_file.is_file():
            return
        found = json.loads(self._claim_file.read_text(encoding="utf-8"))
        # A recipe from before a key existed has its default, and further trainings leave the first ones as they are.
        with suppress(ValidationError):
            found = Recipe.model_validate(in_todays_keys(found)).model_dump(mode="json")
        mine = self.recipe.model_dump(mode="json")
        different = _differences({**found, "trainings": None}, {**mine, "trainings": None})
        if different:
            raise ValueError(
                f"{str(self.folder)!r} holds a study of another recipe ({'; '.join(different)}); "
                "choose another folder, or remove this one"
            )


def _differences(found: object, mine: object, key: str = "") -> list[str]:
    """Keys in which two recipes differ, with both values."""
    if isinstance(found, dict) and isinstance(mine, dict):
        keys = dict.fromkeys([*found, *mine])
        return [d for k in keys for d in _differences(found.get(k), mine.get(k), f"{key}.{k}" if key else k)]
    return [] if found == mine else [f"{key} is {found!r} there and {mine!r} here"]


class Subset:
    """Some photographs of a data set: `count` of them, from index `first` on."""

    def __init__(self, photos: PhotoSet, first: int, count: int) -> None:
        self.classes, self._photos, self._first, self._count = photos.classes, photos, first, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Photo:
        return self._photos[index + self._first]
