"""Pretraining by Adam: it learns from new captures, keeps the best average, and goes on where it was stopped."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dirtypixels import Camera, Observation
from dirtypixels.camera import realization
from dirtypixels.recipe import Condition, Pretraining
from dirtypixels.restore import Denoiser, UnrolledHQS
from dirtypixels.train import PatchCaptures
from dirtypixels.train.pretrain import one_cycle, pretrain, pretrain_adam, psnr

Batch = tuple[Tensor, Observation]


def recipe(**changes: Any) -> Pretraining:
    return Pretraining.model_validate({"optimizer": "adam", "steps": 10, "batch": 4, "validate_every": 4, **changes})


def observed(signal: Tensor) -> Observation:
    level = torch.full((len(signal), 1, 1, 1), 0.1, dtype=signal.dtype)
    return Observation(signal, level, level)


def halved(step: int) -> Batch:
    """Twice too bright, otherwise without fault."""
    signal = torch.rand(2, 1, 6, 6, generator=realization(0, str(step)), dtype=torch.float64)
    return 0.5 * signal, observed(signal)


class Gain(nn.Module):
    """The least unit: one number."""

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value, dtype=torch.float64))

    def forward(self, obs: Observation) -> Tensor:
        return self.value * obs.signal


class Network(nn.Module):
    """Has running statistics, dropout, and weights as logarithms."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.3), nn.Conv2d(4, 1, 3, padding=1)
        )
        self.log_gain = nn.Parameter(torch.tensor(-1.0))
        self.double()

    def forward(self, obs: Observation) -> Tensor:
        image: Tensor = obs.signal * self.log_gain.exp() + 0.1 * self.layers(obs.signal)
        return image


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def quality(unit: nn.Module, batch: Batch) -> float:
    unit.eval()
    with torch.no_grad():
        return float(psnr(unit(batch[1]), batch[0]).mean())


class TestWhatItLearns:
    def test_the_psnr_of_held_out_pictures_rises(self) -> None:
        how = recipe(steps=60, color_size=16, rate=0.01, validate_every=30)
        captures = PatchCaptures(how, Condition.of(6), Camera.load("nexus-6p-rear"))
        torch.manual_seed(0)
        unit = Denoiser(UnrolledHQS(filter_size=3, gap=4))
        before = quality(unit, captures.held_out())
        curve = pretrain_adam(unit, captures.fresh, captures.held_out(), how)
        assert [step for step, _ in curve] == [0, 30, 60]
        assert curve[0][1] == pytest.approx(before, abs=1e-4)
        assert quality(unit, captures.held_out()) == pytest.approx(max(value for _, value in curve), abs=1e-4)
        assert curve[-1][1] > before + 5  # the start blurs so much that a mean of 9 noisy values would gain as much

    def test_it_finds_the_best_value(self) -> None:
        unit = Gain(1.5)
        pretrain_adam(unit, halved, halved(-1), recipe(steps=200, rate=0.05, ema=0))
        assert unit.value.item() == pytest.approx(0.5, abs=1e-3)

    def test_frozen_parameters_stay(self) -> None:
        unit = Network()
        unit.layers[0].weight.requires_grad_(False)
        before = unit.layers[0].weight.clone()
        curve = pretrain_adam(unit, halved, halved(-1), recipe())
        assert curve[-1][1] > curve[0][1]
        torch.testing.assert_close(unit.layers[0].weight, before, rtol=0, atol=0)

    def test_it_is_measured_in_evaluation_mode_and_keeps_its_mode(self) -> None:
        for training in (True, False):
            unit = Network().train(training)
            curve = pretrain_adam(unit, halved, halved(-1), recipe())
            assert unit.training == unit.layers[1].training == training
            assert int(unit.layers[1].num_batches_tracked) == 10  # as many as steps: none of the measurements
            assert curve[-1][1] == max(value for _, value in curve)
            assert quality(unit, halved(-1)) == pytest.approx(curve[-1][1], rel=1e-12)

    def test_random_numbers_elsewhere_play_no_part_and_stay(self) -> None:
        units = []
        for seed in (1, 2):
            unit = Network()
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            pretrain_adam(unit, halved, halved(-1), recipe())
            assert torch.equal(torch.get_rng_state(), before)
            units.append(unit)
        assert same(*units)


class TestRates:
    @pytest.mark.parametrize("steps", [1, 2, 9, 10, 25, 2000])
    def test_one_cycle(self, steps: int) -> None:
        found = [one_cycle(step, steps) for step in range(steps)]
        rise = max(1, steps // 10)
        assert found[:rise] == [pytest.approx((step + 1) / rise) for step in range(rise)]
        assert all(a >= b > 0 for a, b in zip(found[rise - 1 :], found[rise:], strict=False))
        if steps > 10:
            # The mean of a half cosine is a half, and it falls by the angle's square at its end.
            assert sum(found[rise:]) / (steps - rise) == pytest.approx(0.5, abs=1 / (steps - rise))
            assert found[-1] == pytest.approx((math.pi / (steps - rise)) ** 2 / 4, rel=0.01)

    @pytest.mark.parametrize("factor", [1, 10])
    def test_logarithms_of_weights_have_a_rate_of_their_own(self, factor: float) -> None:
        """Adam's first step is as long as the rate, whatever the gradient."""

        class Unit(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = nn.Module()
                self.log_module = nn.Module()
                for owner, name in ((self.inner, "log_start"), (self.log_module, "offset"), (self, "log_beta")):
                    owner.register_parameter(name, nn.Parameter(torch.zeros((), dtype=torch.float64)))

            def forward(self, obs: Observation) -> Tensor:
                weights = (self.inner.log_start + self.log_beta).exp()
                return weights * obs.signal + self.log_module.offset

        unit, first = Unit(), {}

        def note(step: int, value: float) -> None:
            if step == 1:
                first.update({name: abs(p.item()) for name, p in unit.named_parameters()})

        pretrain_adam(unit, halved, halved(-1), recipe(steps=40, rate=0.01, weight_rate=factor), report=note)
        rate = 0.01 / 4  # the first of four steps in which the rate rises
        expected = {"inner.log_start": factor * rate, "log_beta": factor * rate, "log_module.offset": rate}
        assert first == pytest.approx(expected, rel=1e-5)

    def test_gradients_are_clipped(self) -> None:
        """A gradient far below the 1e-8 that Adam adds to its root mean square hardly moves anything."""
        for clip, low, high in ((1e-12, 0, 1e-3), (1.0, 0.9, 1.1)):
            unit = Gain(1.0)
            pretrain_adam(unit, halved, halved(-1), recipe(steps=1, rate=0.01, clip=clip, ema=0))
            assert low < (1 - unit.value.item()) / 0.01 < high


class TestAverage:
    @pytest.mark.parametrize("ema", [0, 0.5, 0.999])
    def test_it_is_the_weighted_mean_of_all_steps(self, ema: float) -> None:
        unit, path = Gain(1.0), []
        pretrain_adam(
            unit, halved, halved(-1), recipe(steps=30, rate=0.01, ema=ema, validate_every=100),
            report=lambda step, value: path.append(unit.value.item()),
        )  # fmt: skip
        decays = [min(ema, t / (9 + t)) for t in range(1, 31)]
        # The start, and each step, by what is left of it after all later steps.
        weights = [math.prod(decays)] + [(1 - d) * math.prod(decays[i + 1 :]) for i, d in enumerate(decays)]
        assert sum(weights) == pytest.approx(1)
        expected = sum(w * value for w, value in zip(weights, path, strict=True))
        assert unit.value.item() == pytest.approx(expected, rel=1e-12)
        assert (unit.value.item() == path[-1]) == (ema == 0)

    def test_the_best_is_kept(self, tmp_path: Path) -> None:
        """From the eighth step on it learns what is wrong."""

        def turned(step: int) -> Batch:
            scene, captured = halved(step)
            return (scene if step < 8 else -4 * scene), captured

        unit, file = Gain(1.0), tmp_path / "unit.pt"
        curve = pretrain_adam(unit, turned, halved(-1), recipe(steps=24, rate=0.1, ema=0), state_file=file)
        values = [value for _, value in curve]
        assert [step for step, _ in curve] == [0, 4, 8, 12, 16, 20, 24]
        assert values.index(max(values)) not in (0, 6)
        assert quality(unit, halved(-1)) == max(values) > values[-1] + 3
        assert torch.load(file, weights_only=True)["unit"]["value"] == unit.value

    def test_the_start_is_kept_where_nothing_is_better(self) -> None:
        unit = Gain(0.5001)
        curve = pretrain_adam(unit, halved, halved(-1), recipe(rate=100))
        assert unit.value.item() == 0.5001
        assert curve[0][1] == max(value for _, value in curve)

    def test_it_is_measured_at_the_end_once(self) -> None:
        for steps, expected in ((8, [0, 4, 8]), (9, [0, 4, 8, 9]), (1, [0, 1])):
            assert [step for step, _ in pretrain_adam(Gain(), halved, halved(-1), recipe(steps=steps))] == expected


class Stop(Exception):
    """Stands for a kill."""


class TestGoingOn:
    @pytest.mark.parametrize("stop_at", [0, 3, 4, 7, 10])
    def test_a_stopped_run_goes_on_to_the_same_numbers(self, stop_at: int, tmp_path: Path) -> None:
        whole = Network()
        curve = pretrain_adam(whole, halved, halved(-1), recipe())
        file = tmp_path / "states" / "unit.pt"

        def stop(step: int, value: float) -> None:
            if step == stop_at:
                raise Stop

        with pytest.raises(Stop):
            pretrain_adam(Network(), halved, halved(-1), recipe(), state_file=file, report=stop)
        assert [p.name for p in file.parent.iterdir()] == ["unit.pt"]
        resumed, reported = Network(), []
        again = pretrain_adam(
            resumed, halved, halved(-1), recipe(), state_file=file, report=lambda *point: reported.append(point)
        )
        assert again == curve
        assert same(resumed, whole)
        saved = stop_at if stop_at == 10 else stop_at - stop_at % 4
        assert [step for step, _ in reported] == list(range(saved, 11))
        assert [value for _, value in reported] == [
            [value for at, value in curve if at <= step][-1] for step, _ in reported
        ]

    def test_a_finished_run_takes_no_further_step(self, tmp_path: Path) -> None:
        file, whole, again = tmp_path / "unit.pt", Network(), Network()
        curve = pretrain_adam(whole, halved, halved(-1), recipe(), state_file=file)

        def never(step: int) -> Batch:
            raise AssertionError("drawn")

        assert pretrain_adam(again, never, halved(-1), recipe(), state_file=file) == curve
        assert same(again, whole)

    def test_raises_for_a_state_of_another_training(self, tmp_path: Path) -> None:
        pretrain(Gain(), *halved(0), 2, state_file=tmp_path / "lbfgs.pt")
        with pytest.raises(ValueError, match=r"state_file must be of Adam with {.*'steps': 10.*}; found None"):
            pretrain_adam(Gain(), halved, halved(-1), recipe(), state_file=tmp_path / "lbfgs.pt")
        pretrain_adam(Gain(), halved, halved(-1), recipe(), state_file=tmp_path / "adam.pt")
        with pytest.raises(ValueError, match=r"'rate': 0\.5.*; found {.*'rate': 0\.002"):
            pretrain_adam(Gain(), halved, halved(-1), recipe(rate=0.5), state_file=tmp_path / "adam.pt")


class Fragile(Gain):
    """Puts out images as it should, but no gradient of its number."""

    def forward(self, obs: Observation) -> Tensor:
        return obs.signal * (1 + (self.value - self.value.detach()).abs().sqrt())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"validation": (torch.zeros(2, 1, 6, 5), halved(0)[1])}, "validation must have shape (2, 1, 6, 6); found (2,"),
        ({"draw": lambda step: (torch.zeros(2, 1, 1, 1), halved(0)[1])}, "scene must have shape (2, 1, 6, 6); found"),
        ({"unit": nn.Identity()}, "unit must have parameters that require a gradient; found none"),
        ({"unit": Gain(math.nan)}, "psnr must stay finite while pretraining; found nan after 0 steps"),
        ({"unit": Fragile()}, "psnr and its gradient must stay finite while pretraining; found 11"),
        ({"unit": Fragile()}, "with a gradient of norm nan after 0 steps"),
        ({"draw": lambda step: (halved(step)[0] * (math.nan if step == 6 else 1), halved(step)[1])},
         "found nan with a gradient of norm nan after 6 steps"),
    ],
)  # fmt: skip
def test_refuses_and_says_why(change: dict[str, Any], message: str) -> None:
    given = {"unit": Gain(), "draw": halved, "validation": halved(-1), "recipe": recipe()}
    with pytest.raises(ValueError, match=re.escape(message)):
        pretrain_adam(**given | change)  # type: ignore[arg-type]
