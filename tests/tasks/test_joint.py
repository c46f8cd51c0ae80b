"""JointModel: what the head sees, what comes out, and what it refuses."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from dirtypixels.observation import Observation
from dirtypixels.tasks import JointModel


class Halve(nn.Module):
    """A unit that uses what an Observation knows besides the signal, and has something to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, obs: Observation) -> Tensor:
        return self.gain * obs.signal + obs.sigma


def observation(batch: int = 2, channels: int = 3) -> Observation:
    generator = torch.Generator().manual_seed(batch)
    signal = torch.rand(batch, channels, 8, 6, generator=generator)
    return Observation(signal, torch.full((batch, 1, 1, 1), 0.1), torch.linspace(0, 1, batch).view(-1, 1, 1, 1))


def head(channels: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_head_sees_what_the_unit_gives() -> None:
    obs, model = observation(), JointModel(Halve(), head()).eval()
    torch.testing.assert_close(model.image(obs), 0.5 * obs.signal + obs.sigma)
    torch.testing.assert_close(model(obs), model.head(0.5 * obs.signal + obs.sigma))


def test_without_a_unit_the_head_sees_the_signal() -> None:
    obs, model = observation(), JointModel(None, head()).eval()
    assert model.image(obs) is obs.signal
    torch.testing.assert_close(model(obs), model.head(obs.signal))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_batch_and_channels(batch: int, channels: int) -> None:
    assert JointModel(Halve(), head(channels)).eval()(observation(batch, channels)).shape == (batch, 4)


def test_the_loss_reaches_unit_and_head() -> None:
    model = JointModel(Halve(), head())
    model(observation()).square().sum().backward()
    for name, parameter in model.named_parameters():
        if name != "head.0.bias":  # BatchNorm takes a constant out again
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_forward_leaves_the_module_as_it_was() -> None:
    model = JointModel(Halve(), head()).eval()
    before, attributes = copy.deepcopy(model.state_dict()), set(vars(model))
    first, second = model(observation()), model(observation())
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert set(vars(model)) == attributes
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_raises_for_a_plain_tensor() -> None:
    with pytest.raises(TypeError, match=r"obs must be an Observation; found Tensor"):
        JointModel(None, head())(torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("unit", "head_", "message"),
    [
        (lambda obs: obs.signal, nn.Flatten(), "unit must be a torch.nn.Module or None; found function"),
        (None, None, "head must be a torch.nn.Module; found NoneType"),
    ],
)
def test_raises_for_what_is_no_module(unit: object, head_: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        JointModel(unit, head_)  # type: ignore[arg-type]
