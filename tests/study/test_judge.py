"""Judging: exact top-1 and top-5 of known logits, PSNR by hand, and verdicts as files."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dirtypixels.camera import Camera
from dirtypixels.data import Captures, Photo
from dirtypixels.observation import Observation
from dirtypixels.recipe import Condition, Method
from dirtypixels.restore import classical
from dirtypixels.study.judge import Verdicts, judge, method
from dirtypixels.study.workshop import Workshop
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


class TestJudge:
    @pytest.mark.parametrize("batch", [1, 3, 64])
    def test_known_logits(self, batch: int) -> None:
        head = Head()
        found = judge(captures(), as_measured, head, batch)
        assert found.top1.tolist() == [row[2] for row in TABLE]
        assert found.top5.tolist() == [row[3] for row in TABLE]
        assert found.answer.tolist() == [0, 0, 0, 0, 0, 0, 2]
        assert head.batches == [min(batch, 7 - i) for i in range(0, 7, batch)]

    def test_fewer_than_five_classes(self) -> None:
        class Few(Grays):
            def __getitem__(self, index: int) -> Photo:
                return super().__getitem__(index)._replace(label=index % 3)

        given = Captures(Few(), Camera.load("nexus-6p-rear"), None, 0)
        found = judge(given, as_measured, Head(classes=3))
        assert found.top5.all()
        assert found.top1.tolist() == [True, False, False, True, False, False, False]

    def test_psnr_by_hand(self) -> None:
        found = judge(captures(), lambda obs: obs.signal + 0.05, Head())
        # The mean squared error is 0.05^2 for each: 10 log10(400) dB. float32 holds the sum to 2^-24 of at most 1.
        error = 2 * 2**-24 / 0.05 * 20 / math.log(10)
        assert found.psnr.dtype == np.float64
        assert found.psnr == pytest.approx(10 * math.log10(400), abs=2 * error)

    def test_psnr_of_a_known_noise(self) -> None:
        given = captures(lux=6.0)
        found = judge(given, as_measured, Head(), 2)
        for i in range(len(TABLE)):
            signal = given[i].observation.signal.double()
            mse = float((signal - torch.tensor(LEVELS[i])).square().mean())
            assert found.psnr[i] == pytest.approx(-10 * math.log10(mse), rel=1e-5)

    def test_psnr_counts_what_can_be_shown(self) -> None:
        found = judge(captures(), lambda obs: torch.where(obs.signal < 0.35, -4.0, 4.0), Head())
        for i, level in enumerate(LEVELS):
            off = level if level < 0.35 else 1 - level
            assert found.psnr[i] == pytest.approx(-20 * math.log10(off), rel=1e-4)

    def test_psnr_is_against_the_light(self) -> None:
        found = judge(captures(transfer="srgb"), lambda obs: obs.signal + 0.01, Head())
        assert found.psnr == pytest.approx(40.0, abs=1e-3)

    def test_progress_and_time(self) -> None:
        said: list[int] = []
        found = judge(captures(), as_measured, Head(), 3, said.append)
        assert said == [3, 6, 7]
        assert 0 < found.seconds < 60


class TestVerdicts:
    def test_round_trip(self, tmp_path: Path) -> None:
        made = judge(captures(lux=3.0), as_measured, Head(), 2)
        made.save(tmp_path / "new" / "a.b.npz")
        found = Verdicts.load(tmp_path / "new" / "a.b.npz")
        for name in ("top1", "top5", "answer", "psnr"):
            one, other = getattr(made, name), getattr(found, name)
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        assert found.seconds == made.seconds
        assert type(found.seconds) is float
        assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.b.npz"]

    def test_the_first_few(self) -> None:
        made = judge(captures(lux=3.0), as_measured, Head(), 2)
        found = made.first(3)
        for name in ("top1", "top5", "answer", "psnr"):
            np.testing.assert_array_equal(getattr(found, name), getattr(made, name)[:3])
        assert found.seconds == made.seconds
        assert len(made.first(None).top1) == len(made.first(99).top1) == len(TABLE)

    def test_nothing_is_unpickled(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", top1=np.array([print], dtype=object))
        with pytest.raises(ValueError, match="allow_pickle=False"):
            Verdicts.load(tmp_path / "a.npz")


class Doubling(nn.Module):
    def forward(self, obs: Observation) -> Tensor:
        return obs.signal * 2


class TestMethod:
    """Which two steps each method is made of."""

    CONDITION = Condition(name="6lux", lux=6)
    BLURRED = Condition(name="6lux+offaxis", lux=6, position="offaxis")

    def workshop(self) -> tuple[Workshop, dict[str, JointModel]]:
        models = {name: JointModel(Doubling() if name == "joint" else None, Head()) for name in ("finetuned", "joint")}
        models["pretrained"] = JointModel(None, Head())
        bench = SimpleNamespace(
            device=torch.device("cpu"),
            unit=lambda condition: Doubling(),
            pretrained=lambda: models["pretrained"],
            finetuned=lambda condition: models["finetuned"],
            joint=lambda condition: models["joint"],
        )
        return cast(Workshop, bench), models

    def test_the_low_level_step(self) -> None:
        obs = captures(lux=6.0)[0].observation
        workshop, _ = self.workshop()
        untouched: tuple[Method, ...] = ("pretrained", "finetuned")
        for name in untouched:
            assert torch.equal(method(workshop, self.CONDITION, name)[0](obs), obs.signal)
        doubled: tuple[Method, ...] = ("unit", "joint")
        for name in doubled:
            assert torch.equal(method(workshop, self.CONDITION, name)[0](obs), obs.signal * 2)
        assert method(workshop, self.CONDITION, "nlm")[0] is classical.non_local_means
        assert method(workshop, self.CONDITION, "bm3d")[0] is classical.bm3d
        assert method(workshop, self.BLURRED, "hqs")[0] is classical.hqs_deconvolution

    def test_the_classifier(self) -> None:
        workshop, models = self.workshop()
        alike: tuple[Method, ...] = ("pretrained", "nlm", "bm3d", "hqs", "unit")
        trained: tuple[Method, ...] = ("finetuned", "joint")
        for name in alike:
            assert method(workshop, self.CONDITION, name)[1] is models["pretrained"].head
        for name in trained:
            assert method(workshop, self.CONDITION, name)[1] is models[name].head
