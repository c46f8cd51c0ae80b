"""Pretraining of low-level units for restoration quality, by L-BFGS."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from dirtypixels import checks
from dirtypixels.files import write_atomically
from dirtypixels.observation import Observation
from dirtypixels.train.quality import psnr

Report = Callable[[int, float], None]
Point = tuple[int, float]  # iteration, average PSNR in dB

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
