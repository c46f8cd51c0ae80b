"""Fine-tuning: what the optimizers do, what is trained, and that a stopped training goes on to the same weights."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy import corrcoef
from timm.optim import RMSpropTF
from torch import Tensor, nn

from dirtypixels.camera import Camera
from dirtypixels.data import Capture, Captures, InMemory, Photo, RoadSigns, join, loader
from dirtypixels.deploy.units import build_unit
from dirtypixels.observation import Observation
from dirtypixels.recipe import FineTuning, Position, load_recipe
from dirtypixels.restore import ClassicalUnit
from dirtypixels.tasks import JointModel, classifier
from dirtypixels.train import finetune
from dirtypixels.train.finetune import TaskTraining
from dirtypixels.train.quality import unexplained

SIGNS = InMemory(RoadSigns("train", 40, 32, seed=0))
CLASSES = len(SIGNS.classes)


class Unit(nn.Module):
    """Adds a learned filter's answer to the signal."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, obs: Observation) -> Tensor:
        corrected: Tensor = obs.signal + self.filter(obs.signal)
        return corrected


def model(unit: bool = True, dropout: float = 0.3) -> JointModel:
    torch.manual_seed(0)
    head = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(128, CLASSES),
    )
    return JointModel(Unit() if unit else None, head)


def captures(lux: float | None = 6.0, position: Position | None = None) -> Captures:
    return Captures(SIGNS, Camera.load("nexus-6p-rear"), lux, seed=0, position=position, training=True, flip=True)


def recipe(**changes: Any) -> FineTuning:
    return FineTuning(**{"epochs": 3, "batch": 16, "accelerator": "cpu", **changes})


def train(made: JointModel, given: Captures, how: FineTuning, **options: Any) -> JointModel:
    finetune(made, given, how, progress=False, **options)
    return made


def same(a: JointModel, b: JointModel) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def average_loss(made: JointModel) -> float:
    given = captures()
    whole = join([given[i] for i in range(len(given))])
    with torch.no_grad():
        return float(nn.functional.cross_entropy(made.eval()(whole.observation), whole.label))


class TestLearning:
    @pytest.mark.parametrize("how", [{"optimizer": "adamw", "rate": 0.03}, {"optimizer": "rmsprop", "rate": 0.5}])
    def test_the_loss_falls(self, how: dict[str, Any]) -> None:
        made = model(dropout=0.0)
        before = average_loss(made)
        train(made, captures(), recipe(epochs=8, unit_rate=0.3, **how))
        assert average_loss(made) < 0.9 * before

    def test_a_network_of_timm_learns(self) -> None:
        torch.manual_seed(0)
        made = JointModel(Unit(), classifier("test_efficientnet", None, CLASSES))
        before = average_loss(made)
        train(made, captures(), recipe(epochs=8, rate=0.01, batch=20, unit_rate=0.1))
        assert average_loss(made) < before

    @pytest.mark.parametrize("unit", [True, False])
    def test_unit_and_head_both_change(self, unit: bool) -> None:
        made, before = model(unit), model(unit).state_dict()
        train(made, captures(), recipe(epochs=1))
        unchanged = [k for k, v in made.named_parameters() if torch.equal(v, before[k])]
        assert not unchanged

    def test_a_unit_of_rate_0_stays(self) -> None:
        made, before = model(), model().state_dict()
        train(made, captures(), recipe(epochs=1, unit_rate=0))
        for name, value in made.named_parameters():
            assert torch.equal(value, before[name]) == name.startswith("unit."), name

    def test_the_same_training_gives_the_same_weights(self) -> None:
        assert same(train(model(), captures(), recipe()), train(model(), captures(), recipe()))

    def test_workers_change_nothing(self) -> None:
        assert same(train(model(), captures(), recipe()), train(model(), captures(), recipe(), workers=2))

    def test_captures_that_served_before_start_from_the_first_epoch(self) -> None:
        used = captures()
        used.set_epoch(7)
        assert same(train(model(), used, recipe(epochs=1), workers=2), train(model(), captures(), recipe(epochs=1)))


class TestBatchNorm:
    def test_it_is_in_training_mode_even_if_the_model_came_in_evaluation_mode(self) -> None:
        # Lightning keeps the mode that it finds, and statistics of a new network would ruin the training.
        made = model().eval()
        norm = made.head[1]  # type: ignore[index]
        train(made, captures(), recipe(epochs=2))
        assert int(norm.num_batches_tracked) == 2 * 3
        assert not torch.equal(norm.running_mean, torch.zeros(8))
        assert same(made, train(model(), captures(), recipe(epochs=2)))

    def test_the_model_comes_back_in_evaluation_mode_on_the_cpu(self) -> None:
        made = train(model(), captures(), recipe(epochs=1))
        assert not any(module.training for module in made.modules())
        assert {p.device.type for p in made.parameters()} == {"cpu"}


class Watch:
    """Notes the epoch, the learning rates and the labels of every step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stop: tuple[int, int] | None = None) -> None:
        self.epochs: list[int] = []
        self.rates: list[list[float]] = []
        self.optimizer: Any = None
        step = TaskTraining.training_step

        def watched(module: TaskTraining, batch: Capture, index: int) -> Tensor:
            if (module.trainer.current_epoch, index) == stop:
                raise KeyError("stopped")
            self.epochs.append(module.trainer.current_epoch)
            self.optimizer = module.trainer.optimizers[0]
            self.rates.append([group["lr"] for group in self.optimizer.param_groups])
            return step(module, batch, index)

        monkeypatch.setattr(TaskTraining, "training_step", watched)


class TestSchedules:
    def test_rmsprop_is_tensorflows_with_the_papers_figures(self, monkeypatch: pytest.MonkeyPatch) -> None:
        watch = Watch(monkeypatch)
        train(model(), captures(), recipe(optimizer="rmsprop", rate=0.02, unit_rate=3, weight_decay=0.1, epochs=3))
        assert isinstance(watch.optimizer, RMSpropTF)
        head, unit = watch.optimizer.param_groups
        assert (head["alpha"], head["eps"], unit["alpha"], unit["eps"]) == (0.9, 1.0, 0.9, 1.0)
        assert (head["weight_decay"], unit["weight_decay"]) == (0.1, 0.0)
        assert watch.epochs == [0] * 3 + [1] * 3 + [2] * 3  # 40 photographs in batches of 16
        expected = [[0.02 * 0.94**epoch, 0.06 * 0.94**epoch] for epoch in watch.epochs]
        torch.testing.assert_close(torch.tensor(watch.rates), torch.tensor(expected))

    def test_one_step_of_rmsprop_by_hand(self) -> None:
        # TensorFlow's rule: the mean square starts at 1, and epsilon is within the root.
        made, given = model(unit=False, dropout=0.0), captures()
        reference = model(unit=False, dropout=0.0).train()
        whole = join([given[i] for i in range(len(given))])
        nn.functional.cross_entropy(reference(whole.observation), whole.label).backward()  # type: ignore[no-untyped-call]
        how = recipe(optimizer="rmsprop", rate=0.5, weight_decay=0, epochs=1, batch=40)
        train(made, given, how)
        for (name, after), before in zip(made.named_parameters(), reference.parameters(), strict=True):
            g = before.grad
            assert g is not None
            expected = before - 0.5 * g / (0.9 * 1.0 + 0.1 * g**2 + 1.0).sqrt()
            # The photographs come in another order, so sums differ in their last digits.
            torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-6, msg=name)

    def test_adamw_warms_up_and_ends_near_0(self, monkeypatch: pytest.MonkeyPatch) -> None:
        watch = Watch(monkeypatch)
        train(model(), captures(), recipe(rate=0.004, unit_rate=0.5, warmup=0.25, epochs=8, weight_decay=0.2))
        assert isinstance(watch.optimizer, torch.optim.AdamW)
        head, unit = watch.optimizer.param_groups
        assert (head["weight_decay"], unit["weight_decay"]) == (0.2, 0.0)
        total = 24
        cosine = [0.5 * (1 + math.cos(math.pi * k / total)) for k in range(total)]
        factors = [min((k + 1) / (0.25 * total + 1), 1) * c for k, c in enumerate(cosine)]
        expected = [[0.004 * f, 0.002 * f] for f in factors]
        torch.testing.assert_close(torch.tensor(watch.rates), torch.tensor(expected))
        assert watch.rates[-1][0] < 0.01 * 0.004

    @pytest.mark.parametrize(("wait", "waits"), [(0.25, 6), (0.3, 7)])
    def test_the_unit_may_wait_and_then_rises_to_the_heads_cosine(
        self, monkeypatch: pytest.MonkeyPatch, wait: float, waits: int
    ) -> None:
        watch, total = Watch(monkeypatch), 24
        train(model(), captures(), recipe(rate=0.004, unit_rate=0.5, warmup=0.25, unit_warmup=wait, epochs=8))
        for step, (head, unit) in enumerate(watch.rates):
            cosine = 0.5 * (1 + math.cos(math.pi * step / total))
            assert head == pytest.approx(0.004 * cosine * min((step + 1) / 7, 1))  # 6 steps of warm-up
            rise = min((step + 1 - wait * total) / 7, 1) if step >= waits else 0
            assert unit == pytest.approx(0.5 * 0.004 * cosine * rise)
            assert (unit == 0) == (step < waits)
        assert watch.rates[-1][1] == pytest.approx(0.5 * watch.rates[-1][0])

    def test_a_unit_that_waits_has_rmsprops_usual_rate_afterwards(self, monkeypatch: pytest.MonkeyPatch) -> None:
        watch = Watch(monkeypatch)
        train(model(), captures(), recipe(optimizer="rmsprop", rate=0.02, unit_rate=3, unit_warmup=0.5))
        usual = [0.06 * 0.94**epoch for epoch in watch.epochs]
        expected = [0.0] * 5 + usual[5:]  # 9 steps in all
        torch.testing.assert_close(torch.tensor([unit for _, unit in watch.rates]), torch.tensor(expected))

    def test_unit_and_head_have_groups_of_their_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        watch, made = Watch(monkeypatch), model()
        train(made, captures(), recipe(epochs=1))
        groups = [{id(p) for p in group["params"]} for group in watch.optimizer.param_groups]
        assert made.unit is not None
        assert groups == [{id(p) for p in part.parameters()} for part in (made.head, made.unit)]
        train(model(unit=False), captures(), recipe(epochs=1))
        assert len(watch.optimizer.param_groups) == 1


def states(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The model's weights and statistics before the first step and after each."""
    seen: list[dict[str, Tensor]] = []

    def note(module: TaskTraining, *_: object) -> None:
        seen.append({name: value.clone() for name, value in module.model.state_dict().items()})

    monkeypatch.setattr(TaskTraining, "on_train_start", note)
    monkeypatch.setattr(TaskTraining, "on_train_batch_end", note)
    return seen


class TestRestoration:
    @pytest.mark.parametrize("position", [None, "offaxis"])
    def test_the_loss_against_numpys_correlation(
        self, monkeypatch: pytest.MonkeyPatch, position: Position | None
    ) -> None:
        step, losses = TaskTraining.training_step, []

        def watched(module: TaskTraining, batch: Capture, index: int) -> Tensor:
            image = module.model.image(batch.observation).detach()
            pairs = zip(image.double().numpy(), batch.scene.double().numpy(), strict=True)
            left = [1 - corrcoef(u.ravel(), x.ravel())[0, 1] ** 2 for u, x in pairs]
            task = float(nn.functional.cross_entropy(module.model.head(image), batch.label).detach())
            loss = step(module, batch, index)
            losses.append((float(loss.detach()), task + 2.5 * sum(left) / len(left)))
            return loss

        monkeypatch.setattr(TaskTraining, "training_step", watched)
        train(model(dropout=0.0), captures(position=position), recipe(epochs=1, restoration=2.5))
        assert len(losses) == 3
        for found, expected in losses:
            assert found == pytest.approx(expected, rel=1e-4)  # some 1e-5 of the scene's variance are added to it

    def test_it_keeps_the_scene(self) -> None:
        def left(how: FineTuning) -> float:
            made, given = train(model(dropout=0.0), captures(), how), captures()
            batch = join([given[i] for i in range(len(given))])
            with torch.no_grad():
                return float(unexplained(made.image(batch.observation), batch.scene).mean())

        usual = {"rate": 0.02, "unit_rate": 1, "epochs": 6}
        assert left(recipe(**usual, restoration=10)) < 0.8 * left(recipe(**usual))

    def test_without_a_unit_that_is_trained_it_changes_nothing(self) -> None:
        for made, options in ((lambda: model(unit=False), {}), (model, {"freeze_unit": True})):
            with_it = train(made(), captures(), recipe(epochs=1, restoration=3), **options)
            assert same(with_it, train(made(), captures(), recipe(epochs=1), **options))


class TestAverage:
    @pytest.mark.parametrize("decay", [0.3, 0.99])
    def test_the_model_ends_with_the_average_by_hand(self, monkeypatch: pytest.MonkeyPatch, decay: float) -> None:
        seen = states(monkeypatch)
        made = train(model(), captures(), recipe(rate=0.03, ema=decay)).state_dict()
        assert len(seen) == 1 + 9
        average = {name: value.double() for name, value in seen[1].items()}
        for t, state in enumerate(seen[2:], 1):
            d = min(decay, (1 + t) / (10 + t))
            average = {name: d * value + (1 - d) * state[name] for name, value in average.items()}
        for name, value in made.items():
            if name.endswith("num_batches_tracked"):
                assert int(value) == 9
            else:
                torch.testing.assert_close(value, average[name].float(), rtol=1e-5, atol=1e-7, msg=name)
                assert not torch.allclose(value, seen[-1][name]), name

    def test_the_training_is_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = states(monkeypatch)
        train(model(), captures(), recipe(ema=0.9))
        usual = train(model(), captures(), recipe()).state_dict()
        assert all(torch.equal(seen[9][name], value) for name, value in usual.items())


def statistics_by_hand(made: JointModel, epoch: int) -> tuple[Tensor, Tensor]:
    """Means and variances of what reaches the batch normalization in `model`, averaged over the epoch's batches."""
    given = captures()
    given.set_epoch(epoch)
    found = []
    with torch.no_grad():
        for batch in loader(given, 16):
            reaching = made.head[0](made.image(batch.observation)).double().transpose(0, 1).flatten(1)  # type: ignore[index]
            found.append((reaching.mean(1), reaching.var(1)))
    means, variances = zip(*found, strict=True)
    assert len(means) == 3
    return torch.stack(means).mean(0), torch.stack(variances).mean(0)


class TestRenormalize:
    def test_statistics_before_the_training_are_those_by_hand(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = states(monkeypatch)
        mean, variance = statistics_by_hand(model(), epoch=2)
        made = model()
        train(made, captures(), recipe(epochs=1, renormalize=True), first_epoch=2)
        torch.testing.assert_close(seen[0]["head.1.running_mean"], mean.float(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(seen[0]["head.1.running_var"], variance.float(), rtol=1e-4, atol=1e-6)
        before = model().state_dict()
        others = [name for name in before if not name.startswith("head.1.running") and "tracked" not in name]
        assert all(torch.equal(seen[0][name], before[name]) for name in others)
        norm = made.head[1]  # type: ignore[index]
        assert norm.momentum == 0.1
        assert int(norm.num_batches_tracked) == 3 + 3

    def test_statistics_of_averaged_weights_are_their_own(self) -> None:
        made = train(model(), captures(), recipe(rate=0.03, ema=0.9, renormalize=True))
        mean, variance = statistics_by_hand(made, epoch=3)
        norm = made.head[1]  # type: ignore[index]
        torch.testing.assert_close(norm.running_mean, mean.float(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(norm.running_var, variance.float(), rtol=1e-4, atol=1e-6)
        assert not any(module.training for module in made.modules())
        others = train(model(), captures(), recipe(rate=0.03, ema=0.9))
        assert not torch.allclose(others.head[1].running_mean, mean.float(), rtol=1e-3)  # type: ignore[index]

    def test_dropout_before_it_is_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def dropping(share: float) -> JointModel:
            made = model()
            made.head = nn.Sequential(nn.Dropout(share), made.head)
            return made

        seen = states(monkeypatch)
        for share in (0.0, 0.5):
            train(dropping(share), captures(), recipe(epochs=1, renormalize=True))
        assert torch.equal(seen[0]["head.1.1.running_var"], seen[4]["head.1.1.running_var"])
        assert not torch.equal(seen[3]["head.1.1.running_var"], seen[7]["head.1.1.running_var"])

    def test_a_head_without_batch_normalization_trains_as_usual(self) -> None:
        how = recipe(epochs=1, rate=0.01)
        renormalized = train(plain(), captures(), how.model_copy(update={"renormalize": True}))
        assert same(renormalized, train(plain(), captures(), how))


class TestFrozenUnit:
    @pytest.mark.parametrize("changes", [{}, {"ema": 0.9, "renormalize": True}, {"optimizer": "rmsprop"}])
    def test_the_unit_stays_to_the_last_bit_and_the_head_moves(self, changes: dict[str, Any]) -> None:
        made = model()
        assert made.unit is not None
        made.unit.add_module("norm", nn.BatchNorm2d(3))  # whose statistics would change in training mode
        made.unit.register_forward_hook(lambda unit, _, image: unit.norm(image))
        made.unit.filter.bias.requires_grad_(False)  # type: ignore[union-attr]
        before = {name: value.clone() for name, value in made.state_dict().items()}
        asking = {name: value.requires_grad for name, value in made.named_parameters()}
        train(made, captures(), recipe(epochs=1, **changes), freeze_unit=True)
        for name, value in made.state_dict().items():
            assert torch.equal(value, before[name]) == name.startswith("unit."), name
        assert {name: value.requires_grad for name, value in made.named_parameters()} == asking
        assert not all(asking.values())

    def test_it_trains_as_a_unit_of_rate_0(self) -> None:
        frozen = train(model(), captures(), recipe(), freeze_unit=True)
        assert same(frozen, train(model(), captures(), recipe(unit_rate=0)))

    def test_its_parameters_ask_for_gradients_again_after_an_error(self) -> None:
        made = model()
        with torch.no_grad():
            made.head[0].weight[0] = math.nan  # type: ignore[index]
        with pytest.raises(ValueError, match="must stay finite"):
            train(made, captures(), recipe(), freeze_unit=True)
        assert all(parameter.requires_grad for parameter in made.parameters())

    def test_a_model_without_a_unit_trains_as_usual(self) -> None:
        frozen = train(model(unit=False), captures(), recipe(epochs=1), freeze_unit=True)
        assert same(frozen, train(model(unit=False), captures(), recipe(epochs=1)))


class TestClassicalUnit:
    @pytest.mark.parametrize(("method", "position"), [("nlm", None), ("hqs", "offaxis")])
    def test_the_head_learns_what_it_gives_in_whichever_process(self, method: Any, position: Position | None) -> None:
        few, camera = RoadSigns("train", 8, 32), Camera.load("nexus-6p-rear")

        def trained(unit: nn.Module, workers: int) -> JointModel:
            how = recipe(epochs=1, batch=4, restoration=1, renormalize=True, ema=0.5)
            given = Captures(few, camera, 6.0, seed=0, position=position, training=True)
            return train(JointModel(unit, model(unit=False).head), given, how, workers=workers)

        here, elsewhere = trained(ClassicalUnit(method), 0), trained(ClassicalUnit(method), 2)
        assert same(here, elsewhere)
        signal = trained(Signal(), 0)
        assert not torch.equal(here.head[0].weight, signal.head[0].weight)  # type: ignore[index]
        assert same(signal, trained(Signal(), 2))

    def test_with_workers_the_training_process_does_not_restore(self) -> None:
        unit = Signal()
        train(JointModel(unit, model(unit=False).head), captures(), recipe(epochs=1), workers=1)
        assert unit.calls == 0
        train(JointModel(unit, model(unit=False).head), captures(), recipe(epochs=1))
        assert unit.calls == 3


class Signal(nn.Module):
    """A unit without parameters that counts its calls."""

    calls = 0

    def forward(self, obs: Observation) -> Tensor:
        self.calls += 1
        return obs.signal


class TestGoingOn:
    @pytest.mark.parametrize(
        ("changes", "workers", "stop"),
        [
            ({}, 0, (1, 0)),
            ({}, 0, (2, 1)),
            ({"optimizer": "rmsprop"}, 2, (1, 2)),
            ({}, 2, (2, 0)),
            ({"ema": 0.9}, 0, (1, 1)),
            ({"ema": 0.6, "renormalize": True, "unit_warmup": 0.2, "restoration": 0.5}, 2, (2, 0)),
        ],
    )
    def test_a_training_that_was_stopped_ends_with_the_same_weights(
        self, tmp_path: Path, changes: dict[str, Any], workers: int, stop: tuple[int, int]
    ) -> None:
        how = recipe(**{"rate": 0.01, **changes})
        whole = train(model(), captures(), how)
        checkpoint = tmp_path / "new" / "training.ckpt"
        with pytest.MonkeyPatch.context() as patch:
            Watch(patch, stop)
            with pytest.raises(KeyError, match="stopped"):
                train(model(), captures(), how, checkpoint=checkpoint, workers=workers)
        assert checkpoint.is_file()
        torch.manual_seed(99)  # whatever the new process has drawn before
        with pytest.MonkeyPatch.context() as patch:
            watch = Watch(patch)
            rest = train(model(), captures(), how, checkpoint=checkpoint, workers=workers)
        assert watch.epochs == [e for e in range(stop[0], 3) for _ in range(3)]  # no finished epoch again
        assert same(rest, whole)

    @pytest.mark.parametrize("changes", [{}, {"ema": 0.9, "renormalize": True}])
    def test_a_training_that_was_stopped_at_its_end_is_only_loaded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
    ) -> None:
        checkpoint = tmp_path / "training.ckpt"
        whole = train(model(), captures(), recipe(**changes), checkpoint=checkpoint)
        watch = Watch(monkeypatch)
        again = train(model(), captures(), recipe(**changes), checkpoint=checkpoint)
        assert watch.epochs == []
        assert same(again, whole)
        assert not any(module.training for module in again.modules())

    def test_keeping_checkpoints_changes_nothing_and_leaves_one_file(self, tmp_path: Path) -> None:
        kept = train(model(), captures(), recipe(), checkpoint=tmp_path / "training.ckpt")
        assert same(kept, train(model(), captures(), recipe()))
        assert [p.name for p in tmp_path.iterdir()] == ["training.ckpt"]
        state = torch.load(tmp_path / "training.ckpt", weights_only=True)["state_dict"]
        assert list(state) == [f"model.{name}" for name in kept.state_dict()]


class TestRaises:
    def test_captures_must_be_for_training(self) -> None:
        evaluated = Captures(SIGNS, Camera.load("nexus-6p-rear"), 6.0, seed=0)
        with pytest.raises(ValueError, match="training=True; found training=False"):
            train(model(), evaluated, recipe())

    def test_two_photographs_at_least(self) -> None:
        one = Captures(RoadSigns("train", 1, 32), Camera.load("nexus-6p-rear"), 6.0, seed=0, training=True)
        with pytest.raises(ValueError, match="captures must hold at least 2 photographs; found 1"):
            train(model(), one, recipe())

    def test_a_loss_that_is_not_finite(self, tmp_path: Path) -> None:
        made = model()
        with torch.no_grad():
            made.head[0].weight[0] = math.nan  # type: ignore[index]
        with pytest.raises(ValueError, match="the training loss must stay finite; found nan at step 0"):
            train(made, captures(), recipe(), checkpoint=tmp_path / "training.ckpt")
        assert not (tmp_path / "training.ckpt").exists()

    def test_a_batch_may_be_larger_than_the_data(self, monkeypatch: pytest.MonkeyPatch) -> None:
        watch = Watch(monkeypatch)
        train(model(), captures(), recipe(batch=1000, epochs=2))
        assert watch.epochs == [0, 1]


def plain() -> JointModel:
    """Nothing in it depends on which photographs of a batch are on the same device."""
    torch.manual_seed(0)
    return JointModel(Unit(), nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, CLASSES)))


# Two trainings, one after the other, skipping what is there, as a study does.
TWO_DEVICES = """
import sys
from pathlib import Path
import torch
from tests.train.test_finetune import captures, plain, recipe, train
for name in ("first", "second"):
    file = Path(sys.argv[1]) / name
    if not file.exists():
        how = recipe(optimizer="rmsprop", rate=0.01, batch=8, devices=2)
        made = train(plain(), captures(), how, checkpoint=file.with_suffix(".ckpt"))
        torch.save(made.state_dict(), file)
print("done")
"""


def test_two_devices_train_as_one_with_batches_twice_as_large(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(TWO_DEVICES)
    argv: list[str | Path] = [sys.executable, script, tmp_path]
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "done\n"  # the process of the second device ends with the training
    assert (tmp_path / "first.ckpt").is_file()
    one = train(plain(), captures(), recipe(optimizer="rmsprop", rate=0.01, batch=16)).state_dict()
    start = plain().state_dict()
    for name in ("first", "second"):
        found = torch.load(tmp_path / name, weights_only=True)
        for key, value in one.items():
            # How far the training went, but for float32's rounding of weights below 1 in 9 steps.
            torch.testing.assert_close(found[key] - start[key], value - start[key], rtol=1e-3, atol=9 * 2**-23, msg=key)


class TwoSigns:
    """Two generated photographs at 299 px, of the first ten classes."""

    def __init__(self) -> None:
        self.classes = SIGNS.classes[:10]
        signs = RoadSigns("train", 44, 299)
        self.photos = [p for p in (signs[i] for i in range(8)) if p.label < 10][:2]

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Photo:
        return self.photos[index]


def test_the_imagenet_recipe_takes_a_step() -> None:
    whole = load_recipe(Path(__file__).parents[2] / "recipes" / "imagenet.yaml")
    photos = TwoSigns()
    assert len(photos) == 2
    given = Captures(photos, Camera.load(whole.camera), 3.0, whole.seed, transfer=whole.transfer, training=True)
    assert given[0].observation.signal.shape == (1, 3, whole.data.size, whole.data.size)
    torch.manual_seed(whole.seed)
    made = JointModel(build_unit(whole.unit), classifier(whole.head.network, None, len(photos.classes)))
    before = {name: value.clone() for name, value in made.named_parameters()}
    here = {"epochs": 1, "accelerator": "cpu", "devices": 1, "precision": "32-true"}
    train(made, given, whole.finetuning.model_copy(update=here))
    for name, value in made.named_parameters():
        assert bool(value.isfinite().all()), name
    changed = [name for name, value in made.named_parameters() if not torch.equal(value, before[name])]
    assert len(changed) == len(before)
