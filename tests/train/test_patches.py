"""What units are pretrained on: patches where their captures are, new ones in every step, and others to measure on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dirtypixels import Camera
from dirtypixels.blur import Blur
from dirtypixels.camera import linear_scene
from dirtypixels.recipe import AnyCondition, Condition, LightRange, Pretraining
from dirtypixels.train import PatchCaptures

CAMERA = Camera.load("nexus-6p-rear")
BRIGHT = Condition(name="bright+offaxis", lux=5000, position="offaxis")
CLEAN = Condition.of(None)
KINDS = ("fixed", "fresh", "held_out")


def captures(condition: AnyCondition, seed: int = 0, transfer: Any = "linear", **changes: Any) -> PatchCaptures:
    few = {"patches": 4, "size": 24, "blur_patches": 3, "blur_size": 24, "batch": 3, "color_size": 24}
    return PatchCaptures(Pretraining.model_validate(few | changes), condition, CAMERA, transfer=transfer, seed=seed)


def drawn(made: PatchCaptures, kind: str, step: int = 0) -> Any:
    return made.fresh(step) if kind == "fresh" else getattr(made, kind)()


def flat(folder: Path, count: int, shape: tuple[int, int] = (30, 40)) -> Path:
    """Pictures of one value each: k / 255 for the k-th."""
    for k in range(count):
        np.save(folder / f"{k:03d}.npy", np.full((*shape, 3), k / 255, dtype=np.float32))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_patches_lie_where_their_captures_do(kind: str) -> None:
    """In bright light a capture is the blurred picture, and nowhere fits it better than in its own place."""
    light, captured = drawn(captures(BRIGHT), kind)
    assert light.shape == captured.signal.shape == {
        "fixed": (3, 3, 24, 24), "fresh": (3, 3, 24, 24), "held_out": (32, 3, 36, 36)
    }[kind]  # fmt: skip
    assert captured.psf is not None
    blurred = Blur(captured.psf, "mirror").forward(light)
    errors = {
        (down, across): float(
            (blurred.roll((down, across), (-2, -1)) - captured.signal)[..., 6:-6, 6:-6].square().mean()
        )
        for down in (-1, 0, 1)
        for across in (-1, 0, 1)
    }
    assert min(errors, key=errors.__getitem__) == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lens_without_noise_has_patches_too(kind: str) -> None:
    light, captured = drawn(captures(Condition.of(None, "offaxis")), kind)
    assert light.shape == captured.signal.shape
    assert float(captured.alpha.max()) == float(captured.sigma.max()) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_range_of_light_gives_each_patch_its_own(kind: str) -> None:
    _, captured = drawn(captures(LightRange(lux=(2, 200))), kind)
    alpha = captured.alpha.flatten()
    low, high = (CAMERA.noise.at_lux(lux).alpha for lux in (200, 2))
    assert len(alpha.unique()) > 0.8 * len(alpha)
    assert low <= float(alpha.min()) < float(alpha.max()) <= high


@pytest.mark.parametrize("kind", KINDS)
def test_the_light_is_the_pictures_by_its_transfer(kind: str) -> None:
    linear, _ = drawn(captures(CLEAN), kind)
    light, captured = drawn(captures(CLEAN, transfer="srgb"), kind)
    torch.testing.assert_close(light, linear_scene(linear, "srgb"))
    torch.testing.assert_close(captured.signal, light)


def test_gray_is_for_the_fixed_set_only() -> None:
    made = captures(Condition.of(6))
    assert made.fixed(gray=True)[0].shape == (4, 1, 24, 24)
    assert made.fixed()[1].signal.shape == (4, 3, 24, 24)


def test_a_step_decides_its_batch() -> None:
    made = captures(Condition.of(6))
    scene, captured = made.fresh(3)
    again = captures(Condition.of(6)).fresh(3)
    assert torch.equal(again[0], scene)
    assert torch.equal(again[1].signal, captured.signal)
    others = [made.fresh(4), captures(Condition.of(6), seed=1).fresh(3), captures(Condition.of(7)).fresh(3)]
    for other in (*others, made.held_out()):
        assert not any(torch.equal(a[..., :24, :24], b) for a in other[0] for b in scene)


def test_the_noise_is_new_in_every_step(tmp_path: Path) -> None:
    made = captures(Condition.of(6), folder=flat(tmp_path, 2), color_size=12, batch=1)
    (one, first), (other, second) = made.fresh(0), made.fresh(1)
    assert torch.equal(one, other)  # the only picture that is not held out, of one value
    assert not torch.equal(first.signal, second.signal)
    noise = torch.stack([first.signal, second.signal]).flatten(1)
    assert abs(float(torch.corrcoef(noise)[0, 1])) < 4 / noise.shape[1] ** 0.5


def test_the_held_out_are_always_the_same() -> None:
    first, second = captures(Condition.of(6)), captures(Condition.of(6))
    second.fresh(5)
    for a, b in zip(first.held_out(), second.held_out(), strict=True):
        assert torch.equal(getattr(a, "signal", a), getattr(b, "signal", b))


@pytest.mark.parametrize(("share", "out"), [(0.1, {0, 10, 20}), (0.3, set(range(0, 25, 3))), (0.01, {0})])
def test_no_step_shows_a_held_out_picture(share: float, out: set[int], tmp_path: Path) -> None:
    made = captures(CLEAN, folder=flat(tmp_path, 25), held_out=share, color_size=8, batch=5)

    def shown(batch: Any) -> set[int]:
        return {round(value) for value in (255 * batch[0].amax((1, 2, 3))).tolist()}

    assert shown(made.held_out()) == out
    assert set().union(*(shown(made.fresh(step)) for step in range(40))) == set(range(25)) - out


@pytest.mark.parametrize(("reduce", "side"), [(1, 30), (2, 20)])
def test_held_out_patches_are_larger_where_the_pictures_are(reduce: int, side: int, tmp_path: Path) -> None:
    made = captures(CLEAN, folder=flat(tmp_path, 3, (40, 50)), color_size=20, reduce=reduce)
    assert made.held_out()[0].shape == (32, 3, side, side)


def test_raises_for_pictures_that_are_too_few_or_too_small(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="folder must hold pictures"):
        captures(CLEAN, folder=tmp_path).held_out()
    flat(tmp_path, 1)
    with pytest.raises(ValueError, match="pictures must be at least 2 to hold one of them out; found 1"):
        captures(CLEAN, folder=tmp_path).fresh(0)
    flat(tmp_path, 2)
    message = re.escape("size x reduce must be at most 30 for these pictures; found 48")
    for kind in KINDS:
        with pytest.raises(ValueError, match=message):
            drawn(captures(CLEAN, folder=tmp_path, reduce=2), kind)
