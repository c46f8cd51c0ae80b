"""The built-in road signs: the data set and the clean faces it is made from."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch

from dirtypixels.data import signs
from dirtypixels.data.sign_faces import NAMES, draw
from dirtypixels.data.signs import RoadSigns


@pytest.fixture
def first_40() -> list[signs.Photo]:
    data = RoadSigns("train", count=40)
    return [data[i] for i in range(40)]


class TestFaces:
    def test_at_least_16_classes_with_several_speed_limits(self) -> None:
        assert len(set(NAMES)) == len(NAMES) >= 16
        assert sum(name.startswith("speed limit ") for name in NAMES) >= 5

    @pytest.mark.parametrize("name", NAMES)
    def test_texture_is_premultiplied_and_stands_within_its_outline(self, name: str) -> None:
        face = draw(name, 128)
        assert face.texture.shape == (4, 128, 128)
        assert face.texture.dtype == np.float32
        color, opacity = face.texture[:3], face.texture[3]
        assert float(face.texture.min()) >= 0
        assert float(opacity.max()) == 1
        assert bool((color <= opacity + 1e-6).all())
        # The opaque area is the outline's, by the shoelace formula; 8-bit coverage errs by 1/255 a pixel of the edge.
        x, y = face.outline.T
        area = 0.5 * abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))
        assert float(opacity.sum()) / 128**2 * 4 == pytest.approx(area, rel=5e-3)

    def test_every_class_differs_visibly_from_every_other(self) -> None:
        # 40 pixels, of 4096, that turn over: a patch of 6 x 6 at the data's own size.
        seen = {name: draw(name, 64).texture for name in NAMES}
        turned = {(a, b): int((np.abs(seen[a] - seen[b]).max(0) > 0.5).sum()) for a, b in combinations(NAMES, 2)}
        closest = min(turned, key=lambda pair: turned[pair])
        assert turned[closest] > 40, closest

    def test_left_and_right_are_mirror_images(self) -> None:
        for left, right in (("curve left", "curve right"), ("turn left ahead", "turn right ahead")):
            one, other = draw(left, 64).texture, draw(right, 64).texture
            # The canvas has 8 bits and rounds up to one level off, in color and in opacity.
            assert float(np.abs(one[:, :, ::-1] - other).max()) < 2.5 / 255
            assert float(np.abs(one - other).max()) > 0.5

    def test_raises_where_the_cached_texture_would_be_changed(self) -> None:
        with pytest.raises(ValueError, match="read-only"):
            draw("stop", 64).texture[0] = 0

    def test_raises_for_an_unknown_name_and_says_what_is_allowed(self) -> None:
        with pytest.raises(ValueError, match=r"name must be one of 'speed limit 30', .*; found 'speed limit 31'"):
            draw("speed limit 31")

    def test_raises_for_a_texture_too_small(self) -> None:
        with pytest.raises(ValueError, match="pixels must be at least 8; found 4"):
            draw("stop", 4)


class TestRoadSigns:
    def test_photos_are_what_the_protocol_says(self, first_40: list[signs.Photo]) -> None:
        for i, photo in enumerate(first_40):
            assert photo.scene.shape == (3, 64, 64)
            assert photo.scene.dtype == torch.float32
            assert photo.scene.is_contiguous()
            assert 0 <= float(photo.scene.min()) <= float(photo.scene.max()) <= 1
            assert type(photo.label) is int
            assert photo.key == f"signs/train/{i:06d}"

    @pytest.mark.parametrize("size", [16, 65, 160])
    def test_any_size(self, size: int) -> None:
        assert RoadSigns("test", count=1, size=size)[0].scene.shape == (3, size, size)

    def test_iteration_ends_at_the_count(self) -> None:
        data = RoadSigns("train", count=3, size=16)
        assert [photo.key for photo in data] == [f"signs/train/{i:06d}" for i in range(3)]
        assert len(data) == 3

    def test_negative_indices_count_from_the_end(self) -> None:
        data = RoadSigns("train", count=5, size=16)
        assert data[-1].key == "signs/train/000004"
        assert torch.equal(data[-1].scene, data[4].scene)

    def test_order_and_count_do_not_matter(self, first_40: list[signs.Photo]) -> None:
        other = RoadSigns("train", count=2000)
        for i in (39, 0, 17, 39, 3):
            again = other[i]
            assert torch.equal(again.scene, first_40[i].scene)
            assert (again.label, again.key) == (first_40[i].label, first_40[i].key)

    def test_global_random_state_is_neither_used_nor_changed(self) -> None:
        torch.manual_seed(1)
        np.random.seed(1)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        scene = RoadSigns()[7].scene
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])
        torch.manual_seed(2)
        np.random.seed(2)
        assert torch.equal(RoadSigns()[7].scene, scene)

    def test_another_process_with_other_threads_makes_the_same(self) -> None:
        # 224 px: large enough that torch splits the work among threads.
        code = (
            "import hashlib, torch; torch.set_num_threads(2)\n"
            "from dirtypixels.data.signs import RoadSigns\n"
            "print(hashlib.sha256(RoadSigns('test', size=224)[5].scene.numpy().tobytes()).hexdigest())"
        )
        theirs = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            ours = RoadSigns("test", size=224)[5].scene
        finally:
            torch.set_num_threads(threads)
        assert hashlib.sha256(ours.numpy().tobytes()).hexdigest() == theirs

    def test_labels_are_balanced_and_shuffled(self) -> None:
        data = RoadSigns("train", count=105)
        labels = [data._label(i) for i in range(105)]
        k = len(data.classes)
        for start in range(0, 105 - k + 1, k):
            assert sorted(labels[start : start + k]) == list(range(k))
        counts = Counter(labels)
        assert max(counts.values()) - min(counts.values()) <= 1
        assert labels[:k] != labels[k : 2 * k]
        assert labels[:k] != list(range(k))

    def test_splits_and_seeds_differ(self) -> None:
        made = [
            RoadSigns(split, size=32, seed=seed)[3].scene
            for split in ("train", "test")
            for seed in (0, 1, 2**32, 2**80)
        ]
        assert all(not torch.equal(a, b) for a, b in combinations(made, 2))

    def test_train_and_test_share_no_background_pixel(self) -> None:
        # Side by side the halves are the photograph's width; were they the same half, their difference would be 0.
        for train, test in zip(signs._halves("train"), signs._halves("test"), strict=True):
            assert train.height == test.height
            assert abs(train.width - test.width) <= 1
            halves = [np.asarray(half, dtype=np.float32)[:, : train.width] for half in (train, test)]
            assert float(np.abs(halves[0] - halves[1]).mean()) > 10

    def test_the_sign_covers_what_it_should_and_lies_within_the_frame(self) -> None:
        rng = np.random.default_rng(0)
        extents = []
        for i in range(200):
            outline = draw(NAMES[i % len(NAMES)], 128).outline
            points = signs._mapped(signs._placement(outline, 64, rng), outline)
            assert points.min() >= 0
            assert points.max() <= 64
            extents.append(float(np.ptp(points, axis=0).max()) / 64)
        low, high = signs._COVERAGE
        assert low <= min(extents) < low + 0.02
        assert high - 0.02 < max(extents) <= high

    def test_warping_a_sign_straight_on_gives_the_sign(self) -> None:
        # The plane's square onto the whole frame: then pixels are means of 2 x 2 texels, up to bilinear weights.
        texture = draw("speed limit 80", 128).texture
        u, v = signs._face_coordinates(np.array([[32.0, 0, 32], [0, 32, 32], [0, 0, 1]]), 64)
        warped = signs._sampled(texture, u, v)
        plain = texture.reshape(4, 64, 2, 64, 2).mean((2, 4))
        assert float(np.sqrt(np.square(warped - plain).mean())) < 0.03
        assert float(np.sqrt(np.square(warped - np.roll(plain, 1, -1)).mean())) > 0.1

    def test_warping_does_not_alias(self) -> None:
        # Stripes of one texel on, one off, where the sign is smallest: a pixel cannot show them, so it must be gray.
        stripes = np.zeros((4, 128, 128), dtype=np.float32)
        stripes[..., ::2] = 1
        half = 0.5 * signs._COVERAGE[0] * 64
        u, v = signs._face_coordinates(np.array([[half, 0, 32], [0, half, 32], [0, 0, 1]]), 64)
        seen = signs._sampled(stripes, u, v)[:, 20:44, 20:44]
        assert float(seen.mean()) == pytest.approx(0.5, abs=0.01)
        assert float(seen.std()) < 0.1

    def test_only_the_sign_changes_with_the_label(self) -> None:
        # The same pose and light with another sign on it: what differs is the sign, and it fills much of the frame.
        scenes = [
            signs._photograph(draw(name, 128), 64, "train", np.random.default_rng(5))
            for name in ("no entry", "roundabout")
        ]
        changed = np.abs(scenes[0] - scenes[1]).max(0) > 0.1
        assert 0.2 < float(changed.mean()) < 0.6
        assert np.array_equal(scenes[0][:, 0, 0], scenes[1][:, 0, 0])


class TestRaises:
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"split": "val"}, ValueError, "split must be one of 'train', 'test'; found 'val'"),
            ({"count": 0}, ValueError, "count must be at least 1; found 0"),
            ({"size": 8}, ValueError, "size must be at least 16; found 8"),
            ({"seed": -1}, ValueError, "seed must be at least 0; found -1"),
            ({"count": 1.5}, TypeError, "count must be an int; found float"),
            ({"size": "64"}, TypeError, "size must be an int; found str"),
            ({"seed": True}, TypeError, "seed must be an int; found bool"),
        ],
    )
    def test_bad_arguments(self, arguments: dict[str, object], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=re.escape(message)):
            RoadSigns(**arguments)  # type: ignore[arg-type]

    @pytest.mark.parametrize("index", [3, -4])
    def test_an_index_out_of_range(self, index: int) -> None:
        with pytest.raises(IndexError, match=re.escape(f"index must be in [-3, 2]; found {index}")):
            RoadSigns(count=3)[index]
