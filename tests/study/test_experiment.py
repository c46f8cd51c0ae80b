"""The experiment: photographs as the recipe says, units and models made once, and folders that belong to one recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dirtypixels.data import Captures, InMemory, RoadSigns
from dirtypixels.deploy import load_model
from dirtypixels.recipe import Condition, LightRange, Recipe
from dirtypixels.restore import Deblurrer, ProximalGradient, ResidualCNN, SignalUNet
from dirtypixels.restore.classical import non_local_means
from dirtypixels.study.experiment import Experiment
from dirtypixels.tasks import JointModel
from dirtypixels.train import PatchCaptures, psnr
from dirtypixels.train.finetune import TaskTraining

CLASSES = len(RoadSigns.classes)
CLEAN, DARK = Condition(name="clean", lux=None), Condition(name="6lux", lux=6)
TINY: dict[str, Any] = {
    "name": "tiny",
    "conditions": [CLEAN, DARK],
    "methods": ["pretrained", "finetuned", "joint"],
    "data": {"kind": "signs", "size": 32, "train": 24, "test": 6},
    "head": {"network": "test_efficientnet", "weights": None},
    "unit": {"filter_size": 3, "hidden": 4},
    "pretraining": {"patches": 4, "size": 16, "iterations": 12},
    "finetuning": {"epochs": 1, "batch": 12, "accelerator": "cpu"},
}

ADAM = {"optimizer": "adam", "steps": 12, "batch": 3, "color_size": 16, "rate": 0.01, "validate_every": 5}
# Units that start so far from the best that a dozen steps improve them.
FAR = {**TINY["unit"], "start": "identity", "growth": 1, "color": "shared"}


def recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate({**TINY, **changes})


def of_signs(**changes: Any) -> dict[str, Any]:
    return {"data": {**TINY["data"], **changes}}


def keys(photos: Any) -> list[str]:
    return [photos[i].key for i in range(len(photos))]


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other devices add numbers up in an order that changes, and these tests compare to the last bit."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "study"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """4 photographs for training and 2 to evaluate on in each of three classes."""
    for split, count in (("train", 4), ("val", 2)):
        for name in ("n01440764", "n02102040", "n02979186"):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for i in range(count):
                gray = np.full((20, 20, 3), 10 * i, dtype=np.uint8)
                Image.fromarray(gray).save(tmp_path / "photos" / split / name / f"{i}.png")
    return tmp_path / "photos"


class TestPhotographs:
    def test_signs(self, folder: Path) -> None:
        experiment = Experiment(recipe(), folder)
        assert keys(experiment.training_photos) == [f"signs/train/{i:06d}" for i in range(24)]
        assert keys(experiment.evaluated_photos) == [f"signs/test/{i:06d}" for i in range(6)]

    def test_held_out_signs_are_training_signs_that_no_training_uses(self, folder: Path) -> None:
        experiment = Experiment(recipe(**of_signs(evaluate_on="held_out")), folder)
        assert keys(experiment.evaluated_photos) == [f"signs/train/{i:06d}" for i in range(24, 30)]
        assert keys(experiment.training_photos) == [f"signs/train/{i:06d}" for i in range(24)]

    def test_folders(self, folder: Path, root: Path) -> None:
        experiment = Experiment(recipe(data={"kind": "folder", "root": root, "size": 16, "train": 7}), folder)
        assert len(experiment.training_photos) == 7
        assert len(experiment.evaluated_photos) == 6
        assert {key.split("/")[0] for key in keys(experiment.evaluated_photos)} == {"val"}
        assert experiment.training_photos[0].scene.shape == (3, 16, 16)

    def test_held_out_photographs_of_a_folder(self, folder: Path, root: Path) -> None:
        data = {"kind": "folder", "root": root, "size": 16, "train": 7, "test": 5, "evaluate_on": "held_out"}
        experiment = Experiment(recipe(data=data), folder)
        trained, evaluated = keys(experiment.training_photos), keys(experiment.evaluated_photos)
        assert (len(trained), len(evaluated)) == (7, 5)
        assert not set(trained) & set(evaluated)
        assert all(key.startswith("train/") for key in evaluated)

    @pytest.mark.parametrize("memory", [True, False])
    def test_memory(self, folder: Path, memory: bool) -> None:
        assert isinstance(Experiment(recipe(**of_signs(memory=memory)), folder).training_photos, InMemory) == memory

    def test_classes_must_be_the_same_in_both_splits(self, folder: Path, root: Path) -> None:
        # A folder more would give the classes after it other labels.
        (root / "val" / "n01440764").rename(root / "val" / "n00000000")
        experiment = Experiment(recipe(data={"kind": "folder", "root": root, "size": 16}), folder)
        with pytest.raises(ValueError, match=r"same classes in 'train' and 'val'; .*\['n00000000', 'n01440764'\]"):
            experiment.evaluated_photos  # noqa: B018

    def test_captures_of_some(self, folder: Path) -> None:
        experiment = Experiment(recipe(), folder)
        whole, few = experiment.captures(DARK, training=False), experiment.captures(DARK, training=False, limit=2)
        assert (len(whole), len(few)) == (6, 2)
        assert len(experiment.captures(DARK, training=False, limit=100)) == 6
        assert torch.equal(whole[1].observation.signal, few[1].observation.signal)

    def test_captures_are_those_of_the_recipe(self, folder: Path) -> None:
        experiment = Experiment(recipe(seed=4, transfer="srgb", camera="semco"), folder)
        made = experiment.captures(DARK, training=True, flip=True)
        assert (made.seed, made.transfer, made.camera.name, made.lux) == (4, "srgb", "semco", 6.0)
        assert (made.training, made.flip) == (True, True)
        assert experiment.captures(CLEAN, training=False).lux == float("inf")


class TestOwnership:
    def test_a_folder_belongs_to_a_recipe_once_something_is_made_in_it(self, folder: Path) -> None:
        Experiment(recipe(), folder)
        assert not folder.exists()
        Experiment(recipe(seed=1), folder).claim()
        assert json.loads((folder / "recipe.json").read_text()) == recipe(seed=1).model_dump(mode="json")
        Experiment(recipe(seed=1), folder)

    def test_a_recipe_from_before_there_were_trainings_goes_on(self, folder: Path) -> None:
        Experiment(recipe(), folder).claim()
        old = json.loads((folder / "recipe.json").read_text())
        del old["trainings"], old["pretraining"]["reduce"]
        (folder / "recipe.json").write_text(json.dumps(old))
        Experiment(recipe(), folder)
        with pytest.raises(ValueError, match=r"pretraining\.reduce is 1 there and 2 here"):
            Experiment(recipe(pretraining={**TINY["pretraining"], "reduce": 2}), folder)

    def test_more_trainings_are_no_other_recipe(self, folder: Path) -> None:
        Experiment(recipe(), folder).claim()
        Experiment(recipe(trainings=3), folder)

    def test_another_recipe_is_refused_with_the_keys_that_differ(self, folder: Path) -> None:
        Experiment(recipe(), folder).claim()
        changes = {"seed": 5, "finetuning": {**TINY["finetuning"], "rate": 0.5}, "clean_training": {"epochs": 2}}
        with pytest.raises(ValueError, match="holds a study of another recipe") as raised:
            Experiment(recipe(**changes), folder)
        message = str(raised.value)
        assert "seed is 0 there and 5 here" in message
        assert "finetuning.rate is 0.001 there and 0.5 here" in message
        assert "clean_training is None there and {'optimizer'" in message
        assert "choose another folder" in message
        assert "camera" not in message

    def test_keys_that_an_earlier_version_did_not_have_mean_their_defaults(self, folder: Path) -> None:
        Experiment(recipe(), folder).claim()
        claim = json.loads((folder / "recipe.json").read_text())
        for key in ADAM:
            claim["pretraining"].pop(key)
        (folder / "recipe.json").write_text(json.dumps(claim))
        Experiment(recipe(), folder)
        with pytest.raises(ValueError, match=r"\(pretraining.optimizer is 'lbfgs' there and 'adam' here\)"):
            Experiment(recipe(pretraining={**TINY["pretraining"], "optimizer": "adam"}), folder)
        (folder / "recipe.json").write_text(json.dumps({**claim, "gone": 1}))
        with pytest.raises(ValueError, match="gone is 1 there and None here"):
            Experiment(recipe(), folder)

    def test_photographs_that_are_missing_leave_nothing_behind(self, folder: Path) -> None:
        experiment = Experiment(recipe(data={"kind": "folder", "root": folder / "none", "size": 16}), folder)
        with pytest.raises(FileNotFoundError, match=r"data\.root must hold a folder 'train'"):
            experiment.finetuned(DARK)
        assert not folder.exists()

    def test_an_unknown_network_leaves_nothing_behind(self, folder: Path) -> None:
        experiment = Experiment(recipe(head={"network": "efficientnet_lite99", "weights": None}), folder)
        with pytest.raises(ValueError, match="network of timm; found 'efficientnet_lite99'"):
            experiment.finetuned(DARK)
        assert not folder.exists()

    def test_an_unknown_camera(self, folder: Path) -> None:
        with pytest.raises(ValueError, match="camera must be a bundled profile"):
            Experiment(recipe(camera="none"), folder)


class TestHeads:
    def test_a_new_layer_has_the_data_sets_classes(self, folder: Path) -> None:
        experiment = Experiment(recipe(), folder)
        model = experiment.pretrained()
        assert model.unit is None
        with torch.inference_mode():
            assert model(experiment.captures(DARK, training=False)[0].observation).shape == (1, CLASSES)
        assert same(model, experiment.pretrained())
        assert not same(model, Experiment(recipe(seed=1), folder).pretrained())

    def test_imagenets_classes_are_those_of_the_folders(self, folder: Path, root: Path) -> None:
        data = {"kind": "folder", "root": root, "size": 32}
        head = {"network": "test_efficientnet", "weights": None, "classes": "imagenet"}
        model = Experiment(recipe(data=data, head=head), folder).pretrained()
        assert model.head.network.num_classes == 3  # type: ignore[union-attr]
        with pytest.raises(
            ValueError, match=r"wnids must be among ImageNet's 1000 WordNet identifiers.*speed limit 30"
        ):
            Experiment(recipe(head=head), folder).pretrained()

    def test_all_classes_need_data_with_all_of_them(self, folder: Path) -> None:
        head = {"network": "test_efficientnet", "weights": None, "classes": "all"}
        with pytest.raises(
            ValueError, match=rf"head\.classes 'all' needs data with the 1000 classes .* found {CLASSES} classes"
        ):
            Experiment(recipe(head=head), folder).pretrained()


class TestUnits:
    def test_made_once_and_loaded_the_same(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        experiment = Experiment(recipe(), folder)
        made = experiment.unit(DARK)
        assert sorted(p.name for p in (folder / "units").iterdir()) == ["6lux.json", "6lux.png", "6lux.pt"]
        curve = experiment.curve(DARK)
        assert [iteration for iteration, _ in curve] == [0, 10, 12]
        assert curve[-1][1] > curve[0][1]

        def never(*_: object, **__: object) -> None:
            raise AssertionError("pretrained twice")

        monkeypatch.setattr("dirtypixels.study.experiment.pretrain", never)
        assert same(Experiment(recipe(), folder).unit(DARK), made)

    def test_it_depends_on_the_recipe_alone(self, folder: Path, tmp_path: Path) -> None:
        made = Experiment(recipe(), folder).unit(DARK)
        torch.manual_seed(77)
        assert same(Experiment(recipe(), tmp_path / "b").unit(DARK), made)
        assert not same(Experiment(recipe(seed=1), tmp_path / "c").unit(DARK), made)

    def test_by_adam_the_best_on_held_out_pictures_is_made_once(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        how = recipe(pretraining={**ADAM, "reduce": 2}, unit=FAR)
        experiment = Experiment(how, folder)
        made = experiment.unit(DARK)
        assert not made.training
        assert sorted(p.name for p in (folder / "units").iterdir()) == ["6lux.json", "6lux.png", "6lux.pt"]
        curve = experiment.curve(DARK)
        assert [step for step, _ in curve] == [0, 5, 10, 12]
        assert curve[-1][1] > curve[0][1]
        captures = PatchCaptures(how.pretraining, DARK, experiment.camera)
        scene, captured = captures.held_out()
        with torch.no_grad():
            found = float(psnr(made(captured), scene).mean())
        assert found == pytest.approx(max(value for _, value in curve), abs=1e-4)

        def never(*_: object, **__: object) -> None:
            raise AssertionError("pretrained twice")

        torch.manual_seed(77)
        assert same(Experiment(how, tmp_path / "b").unit(DARK), made)
        monkeypatch.setattr("dirtypixels.study.experiment.pretrain_adam", never)
        assert same(Experiment(how, folder).unit(DARK), made)

    def test_by_adam_for_a_range_of_light_and_with_a_lens(self, folder: Path) -> None:
        how = {**ADAM, "steps": 20, "color_size": 24, "rate": 2e-3}
        experiment = Experiment(recipe(pretraining=how, deblur={**FAR, "color": "merged"}), folder)
        blurred = LightRange(lux=(2, 5), position="center")
        assert isinstance(experiment.unit(blurred), Deblurrer)
        curve = experiment.curve(blurred)
        assert curve[-1][1] > curve[0][1] + 0.05

    def test_pictures_that_are_too_few_leave_nothing_behind(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "one").mkdir()
        Image.fromarray(np.zeros((40, 40, 3), dtype=np.uint8)).save(tmp_path / "one" / "a.png")
        experiment = Experiment(recipe(pretraining={**ADAM, "folder": tmp_path / "one"}), folder)
        with pytest.raises(ValueError, match="pictures must be at least 2 to hold one of them out; found 1"):
            experiment.unit(DARK)
        assert not folder.exists()

    def test_a_curve_that_could_not_be_drawn_is_drawn_the_next_time(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("dirtypixels.study.experiment.pretraining_curve", full)
            with pytest.raises(OSError, match="No space left"):
                Experiment(recipe(), folder).unit(DARK)
        Experiment(recipe(), folder).unit(DARK)
        assert (folder / "units" / "6lux.png").is_file()


class TestModels:
    def test_made_once_from_the_pretrained_parts(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        experiment = Experiment(recipe(clean_training={**TINY["finetuning"], "rate": 0.01}), folder)
        started: list[tuple[bool, JointModel]] = []

        def watched(model: JointModel, *args: Any, **options: Any) -> None:
            started.append((model.unit is None, model))
            for name, value in model.named_parameters():
                starts[len(started) - 1, name] = value.detach().clone()
            finetune(model, *args, **options)

        starts: dict[tuple[int, str], torch.Tensor] = {}
        from dirtypixels.train import finetune

        monkeypatch.setattr("dirtypixels.study.experiment.finetune", watched)
        joint, finetuned = experiment.joint(DARK), experiment.finetuned(DARK)
        # Clean training first, whose head both go on from; the unit comes pretrained.
        assert [without_unit for without_unit, _ in started] == [True, False, True]
        for name, value in experiment.pretrained().named_parameters():
            assert torch.equal(starts[1, name], value)
            assert torch.equal(starts[2, name], value)
        for name, value in experiment.unit(DARK).named_parameters():
            assert torch.equal(starts[1, f"unit.{name}"], value)
        again = Experiment(experiment.recipe, folder)
        assert same(again.joint(DARK), joint)
        assert same(again.finetuned(DARK), finetuned)
        assert len(started) == 3
        models = sorted(p.name for p in (folder / "models").iterdir())
        assert models == ["6lux-finetuned", "6lux-joint", "pretrained"]
        assert list((folder / "checkpoints").iterdir()) == []

    def test_a_restoration_that_is_frozen_stays_as_it_is(self, folder: Path) -> None:
        experiment = Experiment(recipe(), folder)
        made = experiment.finetuned_behind("unit", DARK)
        assert made.unit is not None
        assert same(made.unit, experiment.unit(DARK))
        assert not same(made.head, experiment.pretrained().head)
        assert same(Experiment(recipe(), folder).finetuned_behind("unit", DARK), made)
        classical = experiment.finetuned_behind("nlm", DARK)
        card = json.loads((folder / "models" / "6lux-nlm_finetuned" / "model.json").read_text())
        assert card["unit"] == {"method": "nlm"}
        seen = experiment.captures(DARK)[0].observation
        assert torch.equal(classical.image(seen), non_local_means(seen))
        models = sorted(p.name for p in (folder / "models").iterdir())
        assert models == ["6lux-nlm_finetuned", "6lux-unit_finetuned"]

    def test_the_card_says_what_it_was_made_for(self, folder: Path) -> None:
        experiment = Experiment(recipe(transfer="srgb"), folder)
        experiment.joint(DARK)
        card = json.loads((folder / "models" / "6lux-joint" / "model.json").read_text())
        assert (card["network"], card["camera"], card["lux"]) == ("test_efficientnet", "nexus-6p-rear", 6)
        assert (card["transfer"], card["image_size"], len(card["classes"])) == ("srgb", 32, CLASSES)
        assert card["camera_hash"] == experiment.camera.hash
        assert card["unit"]["hidden"] == 4
        assert card["recipe"]["name"] == "tiny"

    def test_a_training_that_failed_goes_on_from_its_checkpoint(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        how = recipe(finetuning={**TINY["finetuning"], "epochs": 2})
        whole = Experiment(how, tmp_path / "whole").joint(DARK)
        step, epochs = TaskTraining.training_step, []

        def watched(module: TaskTraining, *args: Any) -> torch.Tensor:
            epochs.append(module.trainer.current_epoch)
            if len(epochs) == 4:
                raise KeyError("stopped")
            return step(module, *args)

        monkeypatch.setattr(TaskTraining, "training_step", watched)
        with pytest.raises(KeyError, match="stopped"):
            Experiment(how, folder).joint(DARK)
        assert [p.name for p in (folder / "checkpoints").iterdir()] == ["6lux-joint.ckpt"]
        assert not (folder / "models").exists()
        assert same(Experiment(how, folder).joint(DARK), whole)
        assert epochs == [0, 0, 1, 1, 1, 1]
        assert list((folder / "checkpoints").iterdir()) == []

    def test_without_clean_training_the_classifier_is_used_as_it_comes(self, folder: Path) -> None:
        Experiment(recipe(), folder).pretrained()
        assert not folder.exists()


class TestTrainings:
    """Trainings that differ in their seed, and in nothing else."""

    def test_a_seed_of_its_own_decides_what_chance_does(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        given: list[tuple[JointModel, Captures, int]] = []

        def watched(model: JointModel, captures: Captures, *_: Any, **__: Any) -> None:
            given.append((model, captures, torch.initial_seed()))

        monkeypatch.setattr("dirtypixels.study.experiment.finetune", watched)
        clean = {**TINY["finetuning"], "rate": 0.01}
        experiment = Experiment(recipe(seed=4, trainings=2, clean_training=clean), folder)
        for training in (1, 2):
            experiment.finetuned(DARK, training)
            experiment.finetuned_behind("unit", DARK, training=training)
            experiment.joint(DARK, training=training)
        (_, captures, _), *trained = given  # clean training first, once
        assert captures.seed == 4
        assert [one.seed for _, one, _ in trained] == [seed for _, _, seed in trained] == [4, 4, 4, 5, 5, 5]
        first, again = trained[0][1], trained[3][1]
        assert not torch.equal(first[0].observation.signal, again[0].observation.signal)
        assert keys(first.photos) == keys(again.photos)
        # All start from the same pretrained parts.
        assert all(same(model.head, trained[0][0].head) for model, _, _ in trained)
        units = [model.unit for model, _, _ in trained if model.unit is not None]
        assert len(units) == 4
        assert all(same(unit, units[0]) for unit in units)
        names = [f"6lux-{m}{n}" for m in ("finetuned", "joint", "unit_finetuned") for n in ("", "-training2")]
        assert sorted(p.name for p in (folder / "models").iterdir()) == [*names, "pretrained"]

    def test_a_final_layer_that_starts_anew_is_another_in_each(self, folder: Path) -> None:
        experiment = Experiment(recipe(trainings=2), folder)
        first, second = experiment.pretrained(), experiment.pretrained(2)
        assert not same(first, second)
        assert same(second, experiment.pretrained(2))

    def test_the_first_is_what_a_study_of_one_training_has(self, folder: Path, tmp_path: Path) -> None:
        one, several = Experiment(recipe(), tmp_path / "one"), Experiment(recipe(trainings=2), folder)
        assert same(several.joint(DARK), one.joint(DARK))
        assert not same(several.joint(DARK, training=2), one.joint(DARK))


@pytest.mark.parametrize("color", ["own", "merged"])
def test_a_unit_that_sees_colors_is_pretrained_in_color(
    color: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Experiment(recipe(unit={**TINY["unit"], "color": color}), folder)
    fixed, channels = PatchCaptures.fixed, []

    def watched(captures: PatchCaptures, gray: bool) -> Any:
        made = fixed(captures, gray)
        channels.append(made[0].shape[1])
        return made

    monkeypatch.setattr(PatchCaptures, "fixed", watched)
    assert made.unit(DARK).solver.color == color
    shared = recipe(unit={**TINY["unit"], "color": "shared"})
    Experiment(shared, folder.with_name("shared")).unit(DARK)
    assert channels == [3, 1]


@pytest.mark.parametrize(
    ("described", "kind"),
    [
        ({"kind": "unet", "depth": 1}, SignalUNet),
        ({"kind": "residual_cnn", "depth": 2}, ResidualCNN),
        ({"kind": "proximal_gradient", "depth": 1, "iterations": 1}, ProximalGradient),
    ],
)
def test_a_network_in_place_of_the_unit_learns_from_color_and_is_saved(
    folder: Path, described: dict[str, Any], kind: type[torch.nn.Module]
) -> None:
    made = Experiment(recipe(unit={**described, "width": 2}), folder)
    model = made.joint(DARK)
    assert isinstance(model.unit, kind)
    unit = load_model(folder / "models" / "6lux-joint")[1].unit
    assert unit == made.recipe.unit
    assert not same(model.unit, made.unit(DARK))  # trained on
    curve = made.curve(DARK)
    assert curve[-1][1] > curve[0][1]
