"""Pretraining of low-level units for restoration quality, by L-BFGS or by Adam."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dirtypixels import checks
from dirtypixels.files import write_atomically
from dirtypixels.observation import Observation
from dirtypixels.recipe import Pretraining
from dirtypixels.train.quality import psnr

Report = Callable[[int, float], None]
Point = tuple[int, float]  # iteration or step, average PSNR in dB

_ITERATIONS_A_STEP = 10  # between two saved states; each costs one evaluation more


def pretrain(
    unit: nn.Module,
    clean: Tensor,
    observations: Observation,
    iterations: int = 400,
    *,
    chunk: int = 128,
    state_file: Path | None = None,
    report: Report | None = None,
) -> list[Point]:
    """Fit a unit's parameters so that the average PSNR of what it puts out is highest; changes the unit in place.

    Args:
        unit: Observation -> image (B, C, H, W).
        clean: (N, C, H, W) in [0, 1], the scenes behind the observations.
        observations: N captures; their noise stays the same through all iterations, as L-BFGS needs.
        iterations: of L-BFGS (strong Wolfe line search, history 10), >= 1.
        chunk: patches evaluated at once; bounds memory, not the result.
        state_file: where to keep the state every 10 iterations; a run that finds one goes on from it.
        report: called with each point of the curve.

    Returns:
        (iteration, average PSNR in dB) before the first iteration, every 10 and at the end.

    Raises:
        ValueError: shapes differ, iterations or chunk is below 1, or the PSNR stops being finite.

    Source: Diamond et al. 2017, sec. 6 (400 iterations of L-BFGS on average PSNR).

    >>> from dirtypixels.restore import Denoiser, UnrolledHQS
    >>> clean = torch.linspace(0.2, 0.8, 16).expand(4, 1, 16, 16)
    >>> noise = 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    >>> alpha, sigma = torch.full((4, 1, 1, 1), 1e-4), torch.full((4, 1, 1, 1), 0.1)
    >>> curve = pretrain(Denoiser(UnrolledHQS()), clean, Observation((clean + noise).clamp(0, 1), alpha, sigma), 2)
    >>> curve[-1][1] > curve[0][1]
    True
    """
    checks.has_shape("clean", clean, tuple(observations.signal.shape))
    for name, value in (("iterations", iterations), ("chunk", chunk)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1; found {value}")
    parameters = [p for p in unit.parameters() if p.requires_grad]
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=_ITERATIONS_A_STEP,
        max_eval=10**9,
        history_size=10,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-9,
        tolerance_change=1e-12,
    )
    parts = [slice(i, i + chunk) for i in range(0, len(clean), chunk)]
    curve: list[Point] = []

    def closure() -> float:
        optimizer.zero_grad()
        total = 0.0
        for part in parts:
            loss = -psnr(unit(observations[part]), clean[part]).sum() / len(clean)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        if not math.isfinite(total):
            raise ValueError(f"psnr must stay finite while pretraining; found {-total} after {done} iterations")
        return total

    def note(iteration: int, loss: float) -> None:
        curve.append((iteration, -loss))
        if report is not None:
            report(iteration, -loss)

    done = 0
    if state_file is not None and state_file.is_file():
        state = torch.load(state_file, map_location=clean.device, weights_only=True)
        unit.load_state_dict(state["unit"])
        optimizer.load_state_dict(state["optimizer"])
        done, curve = state["done"], [tuple(point) for point in state["curve"]]
    while done < iterations:
        wanted = min(_ITERATIONS_A_STEP, iterations - done)
        optimizer.param_groups[0]["max_iter"] = wanted
        note(done, float(optimizer.step(closure)))  # type: ignore[no-untyped-call]
        taken = int(optimizer.state[parameters[0]]["n_iter"]) - done
        stuck = taken < wanted and len(curve) > 1 and curve[-1][1] == curve[-2][1]
        if taken == 0 or stuck:
            break  # no direction improves the PSNR any more
        done += taken
        if state_file is not None:
            state = {
                "unit": unit.state_dict(),
                "optimizer": optimizer.state_dict(),
                "done": done,
                "curve": [list(point) for point in curve],
            }
            write_atomically(state_file, lambda path, state=state: torch.save(state, path))  # type: ignore[misc]
    if curve[-1][0] != done:
        with torch.no_grad():
            note(done, -float(sum(psnr(unit(observations[p]), clean[p]).sum() for p in parts)) / len(clean))
    return curve


def pretrain_adam(
    unit: nn.Module,
    draw: Callable[[int], tuple[Tensor, Observation]],
    validation: tuple[Tensor, Observation],
    recipe: Pretraining,
    *,
    state_file: Path | None = None,
    report: Report | None = None,
) -> list[Point]:
    """Fit a unit's parameters so that the average PSNR of what it puts out is highest, by Adam on new captures in every
    step; changes the unit in place.

    What is measured, and kept, is an average over the steps, ``a <- d a + (1 - d) p`` with
    ``d = min(ema, t / (9 + t))`` after step t: at first it is short, so that it leaves the start behind.

    Args:
        unit: Observation -> image (B, C, H, W). It is in training mode in the steps, and in evaluation mode where it
            is measured.
        draw: a step's number, from 0 on, to its batch: the scenes (B, C, H, W) in [0, 1] and their captures. The same
            for the same step, or a run that goes on would see another batch.
        validation: scenes and captures that no step sees.
        recipe: `steps`, `rate`, `weight_rate`, `clip`, `ema` and `validate_every`; `batch` of the validation captures
            are evaluated at once.
        state_file: where to keep the state whenever the unit is measured; its "unit" is the best so far. A run that
            finds one goes on from it, to the same numbers.
        report: called with every step and the PSNR that was measured last.

    Returns:
        (step, average PSNR in dB on the validation captures) before the first step, every `validate_every` and at the
        end. The unit is the best of them.

    Raises:
        ValueError: shapes differ, the unit has nothing to train, the state is of another recipe or of L-BFGS, or the
            PSNR or its gradient stops being finite.

    Source: Kingma and Ba 2015 (Adam); Polyak and Juditsky 1992 (averaging); the schedule is ours.

    >>> from dirtypixels.camera import Camera
    >>> from dirtypixels.recipe import Condition
    >>> from dirtypixels.restore import Denoiser, UnrolledHQS
    >>> from dirtypixels.train.patches import PatchCaptures
    >>> recipe = Pretraining(optimizer="adam", steps=20, batch=2, color_size=16, rate=0.01)
    >>> captures = PatchCaptures(recipe, Condition.of(6), Camera.load("nexus-6p-rear"))
    >>> curve = pretrain_adam(Denoiser(UnrolledHQS(filter_size=3)), captures.fresh, captures.held_out(), recipe)
    >>> [step for step, _ in curve], curve[-1][1] > curve[0][1]
    ([0, 20], True)
    """
    checks.has_shape("validation", validation[0], tuple(validation[1].signal.shape))
    parameters = [p for p in unit.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("unit must have parameters that require a gradient; found none")
    optimizer = torch.optim.Adam(_groups(unit, recipe))
    device = parameters[0].device
    clean, observations = validation[0].to(device), validation[1].to(device)
    parts = [slice(i, i + recipe.batch) for i in range(0, len(clean), recipe.batch)]
    lbfgs = {"folder", "optimizer", "iterations", "patches", "size", "blur_patches", "blur_size"}
    settings = recipe.model_dump(exclude=lbfgs)
    average = [p.detach().clone() for p in parameters]
    best: dict[str, Tensor] = {}
    curve: list[Point] = []
    done = 0

    def measure() -> None:
        nonlocal best
        unit.eval()
        with torch.no_grad(), _holding(parameters, average):
            total = sum(float(psnr(unit(observations[part]), clean[part]).sum()) for part in parts)
            found = total / len(clean)
            if not math.isfinite(found):
                raise ValueError(f"psnr must stay finite while pretraining; found {found} after {done} steps")
            if not curve or found > max(value for _, value in curve):
                best = {name: value.clone() for name, value in unit.state_dict().items()}
        unit.train()
        curve.append((done, found))
        if state_file is not None:
            state = {
                "unit": best,
                "last": unit.state_dict(),
                "average": average,
                "optimizer": optimizer.state_dict(),
                "done": done,
                "curve": [list(point) for point in curve],
                "settings": settings,
            }
            write_atomically(state_file, lambda path: torch.save(state, path))

    def take_step() -> None:
        torch.manual_seed(done)  # of dropout
        scene, captured = draw(done)
        scene, captured = scene.to(device), captured.to(device)
        checks.has_shape("scene", scene, tuple(captured.signal.shape))
        for group in optimizer.param_groups:
            group["lr"] = group["highest"] * one_cycle(done, recipe.steps)
        optimizer.zero_grad()
        loss = -psnr(unit(captured), scene).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(parameters, recipe.clip)
        if not bool(torch.isfinite(loss.detach()) & torch.isfinite(norm)):
            raise ValueError(
                f"psnr and its gradient must stay finite while pretraining; found {-float(loss.detach())} with a "
                f"gradient of norm {float(norm)} after {done} steps"
            )
        optimizer.step()

    if state_file is not None and state_file.is_file():
        state = torch.load(state_file, map_location=device, weights_only=True)
        if state.get("settings") != settings:
            raise ValueError(f"state_file must be of Adam with {settings}; found {state.get('settings')}")
        unit.load_state_dict(state["last"])
        optimizer.load_state_dict(state["optimizer"])
        average, best = state["average"], state["unit"]
        done, curve = state["done"], [tuple(point) for point in state["curve"]]
    was_training = unit.training
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        unit.train()
        if not curve:
            measure()
        while True:
            if report is not None:
                report(done, curve[-1][1])
            if done == recipe.steps:
                break
            take_step()
            done += 1
            decay = min(recipe.ema, done / (9 + done))
            for mean, parameter in zip(average, parameters, strict=True):
                mean.lerp_(parameter.detach(), 1 - decay)
            if done % recipe.validate_every == 0 or done == recipe.steps:
                measure()
    unit.load_state_dict(best)
    unit.train(was_training)
    return curve


def one_cycle(step: int, steps: int) -> float:
    """The learning rate of a step, from 0 on, as a part of the highest: a linear rise over the first tenth, then a
    cosine that falls to 0.

    >>> [round(one_cycle(step, 20), 3) for step in (0, 1, 2, 11, 19)]
    [0.5, 1.0, 1.0, 0.5, 0.008]
    """
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


def _groups(unit: nn.Module, recipe: Pretraining) -> list[dict[str, Any]]:
    """The parameters to train with their highest learning rates: logarithms of weights, and all others."""
    trained = [(name.rpartition(".")[2], p) for name, p in unit.named_parameters() if p.requires_grad]
    weights = {"params": [p for name, p in trained if "log_" in name], "highest": recipe.rate * recipe.weight_rate}
    others = {"params": [p for name, p in trained if "log_" not in name], "highest": recipe.rate}
    return [group for group in (weights, others) if group["params"]]


@contextmanager
def _holding(parameters: Sequence[Tensor], values: Sequence[Tensor]) -> Iterator[None]:
    """Within it the parameters have other values."""
    own = [p.detach().clone() for p in parameters]
    try:
        for parameter, value in zip(parameters, values, strict=True):
            parameter.detach().copy_(value)
        yield
    finally:
        for parameter, value in zip(parameters, own, strict=True):
            parameter.detach().copy_(value)
