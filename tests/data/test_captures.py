"""Captures: the same noise for the same photograph, whatever is done around it."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import pytest
import torch
from torch import Tensor

from dirtypixels.camera import Camera, linear_scene, realization
from dirtypixels.data import Capture, Captures, Photo, join, loader, log_uniform

CAMERA = Camera.load("nexus-6p-rear")


class Shelf:
    """Scenes of 8 x 6 pixels that are not their own mirror image; the label is the place, the key a letter."""

    def __init__(self, keys: str = "abcdefg") -> None:
        self.classes = tuple("abcdefghijklmnopqrstuvwxyz")
        self.keys = keys

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Photo:
        label = self.classes.index(self.keys[index])
        scene = torch.rand(3, 8, 6, generator=torch.Generator().manual_seed(label))
        return Photo(scene, label, self.keys[index])


def captures(
    keys: str = "abcdefg",
    *,
    lux: float | None = 6.0,
    seed: int = 3,
    training: bool = False,
    flip: bool = False,
    epoch: int = 0,
) -> Captures:
    made = Captures(Shelf(keys), CAMERA, lux, seed, training=training, flip=flip)
    made.set_epoch(epoch)
    return made


def signals(batches: Sequence[Capture]) -> dict[int, Tensor]:
    """Label to signal."""
    whole = join(list(batches))
    return dict(zip(whole.label.tolist(), whole.observation.signal, strict=True))


def same(a: dict[int, Tensor], b: dict[int, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("training", [False, True])
class TestNoiseIsThePhotographsOwn:
    def test_in_any_batch(self, training: bool) -> None:
        made = captures(training=training, flip=training)
        alone = signals([made[i] for i in range(len(made))])
        for batch in (1, 2, 7, 100):
            assert same(signals(list(loader(made, batch))), alone)

    def test_in_worker_processes(self, training: bool) -> None:
        made = captures(training=training, flip=training)
        assert same(signals(list(loader(made, 2, workers=2))), signals(list(loader(made, 2))))

    def test_in_any_order_and_company(self, training: bool) -> None:
        whole = signals(list(loader(captures(training=training, flip=training), 4)))
        turned = signals(list(loader(captures("gfedcba", training=training, flip=training), 3)))
        fewer = signals(list(loader(captures("ec", training=training, flip=training), 3)))
        assert same(turned, whole)
        assert same(fewer, {k: whole[k] for k in (4, 2)})

    def test_it_follows_from_seed_and_key(self, training: bool) -> None:
        made = captures(training=training)
        for i, key in enumerate("abc"):
            scene = Shelf()[i].scene[None]
            name = f"train/0/{key}" if training else f"judge/{key}"
            expected = CAMERA.capture(scene, 6.0, generator=realization(3, name))
            assert torch.equal(made[i].observation.signal, expected.signal)

    def test_another_seed_is_another_noise(self, training: bool) -> None:
        one, other = (signals([captures(training=training, seed=seed)[0]])[0] for seed in (3, 4))
        assert not torch.equal(one, other)

    def test_torchs_own_generator_is_left_alone(self, training: bool) -> None:
        # A training seeds it for dropout; drawing from it here would make dropout depend on how the captures came.
        before = torch.get_rng_state()
        list(loader(captures(training=training, flip=training), 2))
        list(loader(captures(training=training, flip=training), 2, workers=2))
        assert torch.equal(torch.get_rng_state(), before)


class TestEpochs:
    def test_training_captures_differ_between_epochs_and_repeat_for_the_same(self) -> None:
        first, second, again = (signals(list(loader(captures(training=True, epoch=e), 3))) for e in (0, 1, 0))
        assert same(first, again)
        assert not any(torch.equal(first[k], second[k]) for k in first)

    def test_evaluated_captures_know_no_epoch(self) -> None:
        first, second = (signals(list(loader(captures(epoch=e), 3))) for e in (0, 1))
        assert same(first, second)

    def test_training_and_evaluating_do_not_share_noise(self) -> None:
        evaluated, trained = (signals(list(loader(captures(training=t), 7))) for t in (False, True))
        assert not any(torch.equal(evaluated[k], trained[k]) for k in evaluated)

    def test_one_loader_serves_all_epochs_with_workers_too(self) -> None:
        found = []
        for workers in (0, 2):
            made = captures(training=True, flip=True)
            batches = loader(made, 3, workers)
            for epoch in (0, 1, 2):
                made.set_epoch(epoch)
                found.append(list(batches))
        for here, there in zip(found[:3], found[3:], strict=True):
            assert [b.label.tolist() for b in here] == [b.label.tolist() for b in there]
            assert same(signals(here), signals(there))

    def test_the_order_depends_on_seed_and_epoch_alone(self) -> None:
        def order(batch: int, seed: int = 3, epoch: int = 0, workers: int = 0) -> list[int]:
            made = captures(training=True, seed=seed, epoch=epoch)
            return [label for b in loader(made, batch, workers) for label in b.label.tolist()]

        assert order(2) == order(5) == order(2, workers=2)
        assert sorted(order(2)) == list(range(7))
        assert order(2) != order(2, epoch=1)
        assert order(2) != order(2, seed=4)

    def test_evaluated_captures_come_in_the_data_sets_order(self) -> None:
        assert join(list(loader(captures("gcaf"), 3))).label.tolist() == [6, 2, 0, 5]


class TestMirroring:
    def test_about_half_are_mirrored_and_the_scene_with_them(self) -> None:
        made = captures("abcdefghij", lux=None, training=True, flip=True)
        mirrored = 0
        for epoch in range(40):
            made.set_epoch(epoch)
            for i in range(10):
                scene, found = Shelf("abcdefghij")[i].scene, made[i]
                was = torch.equal(found.observation.signal[0], scene.flip(-1))
                assert was or torch.equal(found.observation.signal[0], scene)
                assert torch.equal(found.scene, found.observation.signal)  # no noise in this light
                mirrored += was
        # Four standard deviations of Binomial(400, 1/2).
        assert abs(mirrored - 200) < 4 * sqrt(400 / 4)

    def test_it_repeats_for_the_same_epoch(self) -> None:
        one, other = (signals(list(loader(captures(training=True, flip=True, epoch=5), b))) for b in (1, 7))
        assert same(one, other)

    @pytest.mark.parametrize(("training", "flip"), [(True, False), (False, True), (False, False)])
    def test_never_unless_training_with_flip(self, training: bool, flip: bool) -> None:
        for epoch in range(10):
            made = captures(lux=None, training=training, flip=flip, epoch=epoch)
            assert all(torch.equal(made[i].observation.signal[0], Shelf()[i].scene) for i in range(7))


class TestWhatIsHandedOut:
    def test_shapes(self) -> None:
        batch = next(iter(loader(captures(), 4)))
        assert batch.observation.signal.shape == batch.scene.shape == (4, 3, 8, 6)
        assert batch.observation.alpha.shape == batch.observation.sigma.shape == (4, 1, 1, 1)
        assert batch.label.dtype == torch.int64
        assert len(captures()) == 7

    def test_the_noise_level_is_the_cameras(self) -> None:
        level, found = CAMERA.noise.at_lux(6.0), captures()[0].observation
        # float32 holds the level to half a unit in the 24th binary digit.
        assert float(found.alpha) == pytest.approx(float(level.alpha), rel=2**-24)
        assert float(found.sigma) == pytest.approx(float(level.sigma), rel=2**-24)

    def test_no_lux_is_no_noise(self) -> None:
        found = captures(lux=None)[0].observation
        assert float(found.alpha) == float(found.sigma) == 0
        assert torch.equal(found.signal[0], Shelf()[0].scene)

    def test_the_scene_is_light(self) -> None:
        made = Captures(Shelf(), CAMERA, None, 0, transfer="srgb")
        light = linear_scene(Shelf()[0].scene[None], "srgb")
        assert torch.equal(made[0].scene, light)
        assert torch.equal(made[0].observation.signal, light)
        assert not torch.equal(light[0], Shelf()[0].scene)

    def test_the_data_set_is_left_as_it_was(self) -> None:
        kept = [Shelf()[0]]

        class Kept(Shelf):
            def __getitem__(self, index: int) -> Photo:
                return kept[0]

        made = Captures(Kept("a"), CAMERA, 3.0, 0, training=True, flip=True)
        for epoch in range(8):
            made.set_epoch(epoch)
            made[0]
        assert torch.equal(kept[0].scene, Shelf()[0].scene)

    def test_raises_for_a_light_that_is_none(self) -> None:
        with pytest.raises(ValueError, match="lux must be above 0"):
            captures(lux=0.0)[0]


class TestARangeOfLight:
    def test_levels_are_log_uniform_within_their_limits(self) -> None:
        drawn = log_uniform((2.0, 200.0), 20_000, torch.Generator().manual_seed(0)).log10()
        assert float(drawn.min()) >= 0.30102
        assert float(drawn.max()) <= 2.30104
        # Uniform over 2 decades: deciles have 2000 +- 5 sqrt(1800) each, those of 256 levels up to 26 of 256 levels.
        counts = torch.histc(drawn.float(), 8, 0.30103, 2.30103)
        assert float((counts - 2500).abs().max()) < 5 * sqrt(2500)

    def test_each_photograph_has_its_own_level_and_keeps_it(self) -> None:
        made = Captures(Shelf(), CAMERA, (2.0, 200.0), 3)
        alphas = [float(made[i].observation.alpha) for i in range(len(made))]
        assert len(set(alphas)) == len(alphas)
        low, high = (float(CAMERA.noise.at_lux(lux).alpha) for lux in (200.0, 2.0))
        assert all(low * 0.999 <= alpha <= high * 1.001 for alpha in alphas)
        assert [float(made[i].observation.alpha) for i in range(len(made))] == alphas
        batch = next(iter(loader(made, len(made)))).observation
        assert batch.alpha.flatten().tolist() == alphas

    def test_epochs_change_the_level(self) -> None:
        made = Captures(Shelf(), CAMERA, (2.0, 200.0), 3, training=True)
        first = float(made[0].observation.alpha)
        made.set_epoch(1)
        assert float(made[0].observation.alpha) != first
