"""Pretraining by L-BFGS: it learns, in pieces as in one, and goes on where it was stopped."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dirtypixels import Camera, Observation
from dirtypixels.data.natural import natural_patches
from dirtypixels.restore import Denoiser, UnrolledHQS
from dirtypixels.train import pretrain, psnr


@pytest.fixture(scope="module")
def patches() -> tuple[Tensor, Observation]:
    clean = natural_patches(16, 12)
    generator = torch.Generator().manual_seed(0)
    return clean, Camera.load("nexus-6p-rear").capture(clean, lux=6, generator=generator)


def small_unit() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(UnrolledHQS(filter_size=3, gap=4))


def numbers(unit: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in unit.parameters()])


def test_psnr() -> None:
    clean = torch.zeros(3, 1, 2, 2, dtype=torch.float64)
    image = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64).view(3, 1, 1, 1).expand_as(clean)
    expected = torch.tensor([20.0, -20 * math.log10(0.5), 0.0], dtype=torch.float64)
    torch.testing.assert_close(psnr(image, clean), expected)
    perfect = psnr(clean.clone().requires_grad_(), clean)
    torch.testing.assert_close(perfect, torch.full((3,), 120.0, dtype=torch.float64))


def test_the_psnr_rises_on_16_patches_in_20_iterations(patches: tuple[Tensor, Observation]) -> None:
    clean, obs = patches
    unit, seen = small_unit(), []
    with torch.no_grad():
        before = float(psnr(unit(obs), clean).mean())
    curve = pretrain(unit, clean, obs, 20, report=lambda *point: seen.append(point))
    with torch.no_grad():
        after = float(psnr(unit(obs), clean).mean())
    assert [iteration for iteration, _ in curve] == [0, 10, 20]
    assert curve == seen
    assert curve[0][1] == pytest.approx(before, abs=1e-4)  # sums of 16 numbers about 20 in single precision
    assert curve[-1][1] == pytest.approx(after, abs=1e-4)
    assert curve[0][1] < curve[1][1] < curve[2][1]
    assert after > before + 3  # a mean of 9 noisy values alone would gain 9 dB


def test_the_size_of_a_chunk_changes_nothing_but_rounding(patches: tuple[Tensor, Observation]) -> None:
    clean, obs = patches[0].double(), patches[1].to(torch.float64)
    curves, units = [], []
    for chunk in (5, 16, 1000):
        unit = small_unit().double()
        curves.append(pretrain(unit, clean, obs, 3, chunk=chunk))
        units.append(numbers(unit))
    for curve, values in zip(curves[1:], units[1:], strict=True):
        assert [p for _, p in curve] == pytest.approx([p for _, p in curves[0]], abs=1e-9)
        torch.testing.assert_close(values, units[0], rtol=1e-7, atol=1e-9)


class Stop(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("stop_at", [10, 20])
def test_a_stopped_run_goes_on_to_the_same_numbers(
    stop_at: int, patches: tuple[Tensor, Observation], tmp_path: Path
) -> None:
    clean, obs = patches[0][:6], patches[1][:6]
    whole = small_unit()
    curve = pretrain(whole, clean, obs, 25)
    state_file = tmp_path / "states" / "unit.pt"

    def stop(iteration: int, value: float) -> None:
        if iteration == stop_at:
            raise Stop

    with pytest.raises(Stop):
        pretrain(small_unit(), clean, obs, 25, state_file=state_file, report=stop)
    assert [p.name for p in state_file.parent.iterdir()] == ["unit.pt"]
    resumed, reported = small_unit(), []
    again = pretrain(resumed, clean, obs, 25, state_file=state_file, report=lambda *point: reported.append(point))
    assert again == curve
    assert reported == [point for point in curve if point[0] >= stop_at]
    torch.testing.assert_close(numbers(resumed), numbers(whole), rtol=0, atol=0)
    # A finished run is not computed again.
    finished, reported = small_unit(), []
    assert (
        pretrain(finished, clean, obs, 25, state_file=state_file, report=lambda *point: reported.append(point)) == curve
    )
    assert reported == curve[-1:]
    torch.testing.assert_close(numbers(finished), numbers(whole), rtol=0, atol=0)


def test_more_iterations_continue_a_finished_run(patches: tuple[Tensor, Observation], tmp_path: Path) -> None:
    clean, obs = patches[0][:4], patches[1][:4]
    whole, parts = small_unit(), small_unit()
    curve = pretrain(whole, clean, obs, 20)
    pretrain(parts, clean, obs, 10, state_file=tmp_path / "unit.pt")
    assert pretrain(small_unit(), clean, obs, 20, state_file=tmp_path / "unit.pt") == curve


def test_frozen_parameters_stay(patches: tuple[Tensor, Observation]) -> None:
    clean, obs = patches
    unit = small_unit()
    frozen = [p for name, p in unit.named_parameters() if "filters" in name]
    for parameter in frozen:
        parameter.requires_grad_(False)
    before = [p.clone() for p in frozen]
    curve = pretrain(unit, clean, obs, 2)
    assert curve[-1][1] > curve[0][1]
    for parameter, value in zip(frozen, before, strict=True):
        torch.testing.assert_close(parameter, value, rtol=0, atol=0)


class Gain(nn.Module):
    """The least unit: one number, whose best value is known."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value, dtype=torch.float64))

    def forward(self, obs: Observation) -> Tensor:
        return self.value * obs.signal


def test_it_finds_the_best_and_stops_there() -> None:
    signal = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    clean = 0.5 * signal + 0.1
    level = torch.full((1, 1, 1, 1), 0.1, dtype=torch.float64)
    unit = Gain(0.0)
    curve = pretrain(unit, clean, Observation(signal, level, level), 100)
    best = float((clean * signal).sum() / signal.square().sum())
    assert unit.value.item() == pytest.approx(best, rel=1e-6)
    assert curve[-1][0] < 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clean": torch.zeros(2, 1, 4, 5)}, "clean must have shape (2, 1, 4, 4); found (2, 1, 4, 5)"),
        ({"iterations": 0}, "iterations must be at least 1; found 0"),
        ({"chunk": 0}, "chunk must be at least 1; found 0"),
        ({"unit": Gain(math.nan)}, "psnr must stay finite while pretraining; found nan after 0 iterations"),
    ],
)
def test_refuses_and_says_why(change: dict[str, Any], message: str) -> None:
    level = torch.full((2, 1, 1, 1), 0.1)
    given = {"unit": Gain(1.0), "clean": torch.zeros(2, 1, 4, 4), "observations": None, "iterations": 1}
    given["observations"] = Observation(torch.rand(2, 1, 4, 4), level, level)
    with pytest.raises(ValueError, match=re.escape(message)):
        pretrain(**given | change)  # type: ignore[arg-type]
