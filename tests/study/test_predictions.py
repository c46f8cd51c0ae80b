"""Predictions: exact top-1 and top-5 of known logits, PSNR by hand, and predictions as files."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dirtypixels.camera import Camera
from dirtypixels.data import Captures, Photo
from dirtypixels.observation import Observation
from dirtypixels.recipe import TRAINED, Condition
from dirtypixels.restore import classical
from dirtypixels.study import selective, statistics
from dirtypixels.study.experiment import Experiment
from dirtypixels.study.predictions import Predictions, metrics_of, metrics_over, predict, steps, told
from dirtypixels.study.results import Model
from dirtypixels.tasks import JointModel

# Six logits for each photograph, its label, and by hand whether the label is the best, or among the five best.
TABLE = [
    ([9.0, 1.0, 2.0, 3.0, 4.0, 5.0], 0, True, True),
    ([9.0, 1.0, 2.0, 3.0, 4.0, 5.0], 1, False, False),
    ([9.0, 1.0, 2.0, 3.0, 4.0, 5.0], 2, False, True),
    ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 0, True, True),  # of equal logits the first counts as the best
    ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 4, False, True),
    ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 5, False, False),
    ([-3.0, -2.0, -1.0, -4.0, -5.0, -6.0], 2, True, True),
]
LEVELS = [0.1 * (i + 1) for i in range(len(TABLE))]  # one gray for each photograph tells the head which one it sees


class Grays:
    classes = tuple("abcdef")

    def __len__(self) -> int:
        return len(TABLE)

    def __getitem__(self, index: int) -> Photo:
        return Photo(torch.full((3, 4, 5), LEVELS[index]), TABLE[index][1], f"gray/{index}")


class Head(nn.Module):
    """Looks up the logits of the photograph whose gray is nearest; notes the batches that it gets."""

    def __init__(self, classes: int = 6) -> None:
        super().__init__()
        self.classes = classes
        self.batches: list[int] = []

    def forward(self, image: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        self.batches.append(len(image))
        nearest = (image.mean((1, 2, 3))[:, None] - torch.tensor(LEVELS)).abs().argmin(1)
        return torch.tensor([TABLE[i][0][: self.classes] for i in nearest.tolist()])


def captures(lux: float | None = None, transfer: str = "linear") -> Captures:
    return Captures(Grays(), Camera.load("nexus-6p-rear"), lux, 0, transfer=transfer)  # type: ignore[arg-type]


def as_measured(obs: Observation) -> Tensor:
    return obs.signal


def quality(found: Predictions) -> Any:
    assert found.psnr is not None
    return found.psnr.numpy()


class TestPredict:
    @pytest.mark.parametrize("batch", [1, 3, 64])
    def test_known_logits(self, batch: int) -> None:
        head = Head()
        found = predict(captures(), as_measured, head, batch)
        assert found.top(1).tolist() == [row[2] for row in TABLE]
        assert found.top(5).tolist() == [row[3] for row in TABLE]
        assert found.predicted.tolist() == [0, 0, 0, 0, 0, 0, 2]
        assert head.batches == [min(batch, 7 - i) for i in range(0, 7, batch)]

    def test_fewer_than_five_classes(self) -> None:
        class Few(Grays):
            def __getitem__(self, index: int) -> Photo:
                return super().__getitem__(index)._replace(label=index % 3)

        given = Captures(Few(), Camera.load("nexus-6p-rear"), None, 0)
        found = predict(given, as_measured, Head(classes=3))
        assert found.top(5).all()
        assert found.top(1).tolist() == [True, False, False, True, False, False, False]

    def test_psnr_by_hand(self) -> None:
        found = predict(captures(), lambda obs: obs.signal + 0.05, Head())
        # The mean squared error is 0.05^2 for each: 10 log10(400) dB. float32 holds the sum to 2^-24 of at most 1.
        error = 2 * 2**-24 / 0.05 * 20 / math.log(10)
        assert quality(found).dtype == np.float64
        assert quality(found) == pytest.approx(10 * math.log10(400), abs=2 * error)

    def test_psnr_of_a_known_noise(self) -> None:
        given = captures(lux=6.0)
        found = predict(given, as_measured, Head(), 2)
        for i in range(len(TABLE)):
            signal = given[i].observation.signal.double()
            mse = float((signal - torch.tensor(LEVELS[i])).square().mean())
            assert quality(found)[i] == pytest.approx(-10 * math.log10(mse), rel=1e-5)

    def test_psnr_counts_what_can_be_shown(self) -> None:
        found = predict(captures(), lambda obs: torch.where(obs.signal < 0.35, -4.0, 4.0), Head())
        for i, level in enumerate(LEVELS):
            off = level if level < 0.35 else 1 - level
            assert quality(found)[i] == pytest.approx(-20 * math.log10(off), rel=1e-4)

    def test_psnr_is_against_the_light(self) -> None:
        found = predict(captures(transfer="srgb"), lambda obs: obs.signal + 0.01, Head())
        assert quality(found) == pytest.approx(40.0, abs=1e-3)

    def test_progress_and_time(self) -> None:
        said: list[int] = []
        found = predict(captures(), as_measured, Head(), 3, said.append)
        assert said == [3, 6, 7]
        assert 0 < found.seconds < 60


class TestPredictions:
    def test_round_trip(self, tmp_path: Path) -> None:
        made = predict(captures(lux=3.0), as_measured, Head(), 2)
        made.save(tmp_path / "new" / "a.b.npz")
        found = Predictions.load(tmp_path / "new" / "a.b.npz")
        for name in ("logits", "labels", "psnr"):
            one, other = getattr(made, name), getattr(found, name)
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        assert found.seconds == made.seconds
        assert type(found.seconds) is float
        assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.b.npz"]

    def test_the_first_few(self) -> None:
        made = predict(captures(lux=3.0), as_measured, Head(), 2)
        found = made.first(3)
        for name in ("logits", "labels", "psnr"):
            np.testing.assert_array_equal(getattr(found, name), getattr(made, name)[:3])
        assert found.seconds == made.seconds
        assert len(made.first(None)) == len(made.first(99)) == len(TABLE)

    def test_nothing_is_unpickled(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", logits=np.array([print], dtype=object))
        with pytest.raises(ValueError, match="allow_pickle=False"):
            Predictions.load(tmp_path / "a.npz")


class TestMetrics:
    def test_they_are_those_of_the_predictions(self) -> None:
        found = predict(captures(lux=6.0), as_measured, Head())
        metrics, risk = metrics_of(found, clean=False)
        assert risk is None
        assert metrics["top1"].value == pytest.approx(float(found.right.double().mean()))
        assert metrics["top5"].value == pytest.approx(float(found.top(5).double().mean()))
        assert metrics["psnr"].value == pytest.approx(float(quality(found).mean()))
        error = selective.expected_calibration_error(found.logits.double().softmax(1).amax(1), found.right)
        assert metrics["calibration_error"].value == error
        assert "psnr" not in metrics_of(found, clean=True)[0]

    def test_a_temperature_calibrates_the_confidence(self) -> None:
        found = predict(captures(lux=6.0), as_measured, Head())
        metrics, risk = metrics_of(found, clean=False, temperature=2.0)
        confidence = (found.logits / 2).double().softmax(1).amax(1)
        assert metrics["calibrated_error"].value == selective.expected_calibration_error(confidence, found.right)
        assert metrics["risk_area"].value == selective.area_under_risk(confidence, found.right)
        assert risk == selective.risk_coverage(confidence, found.right, 25)


class TestMetricsOver:
    """Several trainings together."""

    def trainings(self) -> list[Predictions]:
        return [
            predict(captures(6.0), lambda obs, s=s: obs.signal * (1 - 0.1 * s), Head())  # type: ignore[misc]
            for s in range(3)
        ]

    def test_each_metric_is_the_mean_of_the_trainings(self) -> None:
        found = self.trainings()
        metrics, each = metrics_over(found, clean=False), [metrics_of(one, clean=False)[0] for one in found]
        assert list(metrics) == list(each[0]) == ["top1", "top5", "psnr", "psnr_affine", "calibration_error"]
        for name, metric in metrics.items():
            assert metric.value == pytest.approx(np.mean([one[name].value for one in each]))
            assert (metric.low is None) == (name == "calibration_error")
        right = torch.stack([one.right for one in found])
        assert metrics["top1"] == statistics.proportion_over(right)

    def test_what_one_training_has_not_is_left_out(self) -> None:
        first, *others = self.trainings()
        old = replace(first, psnr_affine=None)
        assert "psnr_affine" not in metrics_over([old, *others], clean=False)
        assert "psnr" not in metrics_over([first, *others], clean=True)


class TestPsnrAffine:
    def test_gain_and_offset_do_not_count(self) -> None:
        class Ramps(Grays):
            def __getitem__(self, index: int) -> Photo:
                ramp = torch.linspace(0.1, 0.1 + LEVELS[index], 20).view(1, 4, 5).expand(3, -1, -1)
                return Photo(ramp, 0, f"ramp/{index}")

        given = Captures(Ramps(), Camera.load("nexus-6p-rear"), None, 0)
        found = predict(given, lambda obs: 3 * obs.signal - 1, Head())
        assert found.psnr is not None
        assert found.psnr_affine is not None
        assert float(found.psnr.max()) < 20
        assert float(found.psnr_affine.min()) > 100

    def test_it_is_kept_and_files_without_it_are_read(self, tmp_path: Path) -> None:
        found = predict(captures(6.0), as_measured, Head())
        found.save(tmp_path / "new.npz")
        again = Predictions.load(tmp_path / "new.npz").first(3)
        assert again.psnr_affine is not None
        assert found.psnr_affine is not None
        assert torch.equal(again.psnr_affine, found.psnr_affine[:3])
        arrays = {name: np.asarray(getattr(found, name)) for name in ("logits", "labels", "psnr", "seconds")}
        np.savez(tmp_path / "old.npz", **arrays)  # type: ignore[arg-type]
        old = Predictions.load(tmp_path / "old.npz")
        assert old.psnr_affine is None
        assert "psnr_affine" not in metrics_of(old.first(5), clean=False)[0]


def test_what_is_told_is_wrong_and_what_is_captured_is_not() -> None:
    obs = captures(lux=6.0)[0].observation
    seen: list[Observation] = []
    told(lambda given: (seen.append(given), given.signal)[1], 0.5, 2.0)(obs)
    assert torch.equal(seen[0].alpha, 0.5 * obs.alpha)
    assert torch.equal(seen[0].sigma, 2 * obs.sigma)
    assert torch.equal(seen[0].signal, obs.signal)


class Doubling(nn.Module):
    def forward(self, obs: Observation) -> Tensor:
        return obs.signal * 2


class TestSteps:
    """Which two steps each method is made of."""

    def experiment(self) -> tuple[Experiment, dict[str, JointModel]]:
        models = {name: JointModel(Doubling() if name == "joint" else None, Head()) for name in ("finetuned", "joint")}
        models |= {f"{name}_finetuned": JointModel(Doubling(), Head()) for name in ("unit", "nlm", "bm3d", "hqs")}
        models["pretrained"] = JointModel(None, Head())
        recipe = SimpleNamespace(condition=lambda name: Condition(name=name, lux=6), light=None)
        bench = SimpleNamespace(
            recipe=recipe,
            device=torch.device("cpu"),
            unit=lambda condition, name: Doubling(),
            pretrained=lambda: models["pretrained"],
            finetuned=lambda condition, training: models["finetuned"],
            finetuned_behind=lambda name, condition, unit, training: models[f"{name}_finetuned"],
            joint=lambda condition, name, features, rounds, training: models["joint"],
        )
        return cast(Experiment, bench), models

    def steps(self, method: str) -> tuple[Any, nn.Module, dict[str, JointModel]]:
        experiment, models = self.experiment()
        trained = "6lux" if method == "unit" or method in TRAINED else None
        return *steps(experiment, Model(method=method, trained_for=trained)), models

    def test_the_low_level_step(self) -> None:
        obs = captures(lux=6.0)[0].observation
        for name in ("pretrained", "finetuned"):
            assert torch.equal(self.steps(name)[0](obs), obs.signal)
        for name in ("unit", "joint", "unit_finetuned", "bm3d_finetuned"):
            assert torch.equal(self.steps(name)[0](obs), obs.signal * 2)
        assert self.steps("nlm")[0] is classical.non_local_means
        assert self.steps("bm3d")[0] is classical.bm3d
        assert self.steps("hqs")[0] is classical.hqs_deconvolution

    def test_the_classifier(self) -> None:
        for name in ("pretrained", "nlm", "bm3d", "hqs", "unit"):
            _, head, models = self.steps(name)
            assert head is models["pretrained"].head
        for name in TRAINED:
            _, head, models = self.steps(name)
            assert head is models[name].head
