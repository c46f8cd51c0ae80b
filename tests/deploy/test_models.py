"""Models as folders: the same logits after a round trip, whole folders or none, and damage that is named."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import conv2d

from dirtypixels.deploy import ModelCard, fit_observation, load_model, save_model
from dirtypixels.deploy.units import build_unit
from dirtypixels.observation import Observation
from dirtypixels.recipe import AnyUnit, Classical, ProximalGradient, ResidualCNN, UNet, Unit
from dirtypixels.restore import CoarseToFine, Denoiser, Unrolled
from dirtypixels.tasks import JointModel, classifier

NETWORK = "test_efficientnet"
CLASSES = ("stop", "give way", "no entry")
UNIT = Unit(hidden=4, filter_size=3)


def card(unit: AnyUnit | Classical | None = UNIT, **changes: object) -> ModelCard:
    content = {
        "network": NETWORK, "classes": CLASSES, "image_size": 32, "unit": unit, "camera": "nexus-6p-rear",
        "camera_hash": "0123", "lux": 6.0, "transfer": "linear", "recipe": {"name": "tiny", "seed": 3},
    }  # fmt: skip
    return ModelCard.model_validate({**content, **changes})


def model(unit: AnyUnit | Classical | None = UNIT) -> JointModel:
    """Random weights, and BatchNorm statistics that are not those of a new network."""
    torch.manual_seed(5)
    made = JointModel(None if unit is None else build_unit(unit), classifier(NETWORK, None, len(CLASSES)))
    made(observation(8))
    return made.eval()


def observation(batch: int = 2) -> Observation:
    signal = torch.rand(batch, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return Observation(signal, torch.full((batch, 1, 1, 1), 0.06), torch.full((batch, 1, 1, 1), 0.16))


def logits(made: JointModel) -> Tensor:
    with torch.inference_mode():
        found: Tensor = made(observation())
    return found


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(model(), card(), tmp_path / "model")
    return tmp_path / "model"


class TestRoundTrip:
    @pytest.mark.parametrize(
        "unit",
        [
            None,
            UNIT,
            Unit(layers=2, tied=True),
            Unit(layers=2, filter_size=3, hidden=5),
            Classical(method="nlm"),
            UNet(kind="unet", width=3, depth=2, noise_maps=True),
            ResidualCNN(kind="residual_cnn", width=3, depth=3),
            ProximalGradient(kind="proximal_gradient", iterations=2, width=3, depth=1),
        ],
    )
    def test_the_same_logits_to_the_last_bit(self, tmp_path: Path, unit: AnyUnit | Classical | None) -> None:
        made = model(unit)
        save_model(made, card(unit), tmp_path / "model")
        found, said = load_model(tmp_path / "model")
        assert torch.equal(logits(found), logits(made))
        assert said == card(unit)
        assert not any(module.training for module in found.modules())

    def test_a_model_in_channels_last_keeps_its_weights(self, tmp_path: Path) -> None:
        # Training leaves heads in this layout, and a file of tensors knows no layout.
        made = model()
        made.head.to(memory_format=torch.channels_last)
        save_model(made, card(), tmp_path / "model")
        found = load_model(tmp_path / "model")[0].state_dict()
        assert found.keys() == made.state_dict().keys()
        assert all(torch.equal(found[k], v) for k, v in made.state_dict().items())

    def test_the_card_names_the_versions(self, saved: Path) -> None:
        written = json.loads((saved / "model.json").read_text())
        assert written["schema_version"] == 1
        assert written["versions"]["torch"] == torch.__version__.partition("+")[0]
        assert set(written["versions"]) == {"dirtypixels", "torch", "timm"}
        assert written["recipe"] == {"name": "tiny", "seed": 3}

    def test_two_files_and_nothing_else(self, saved: Path) -> None:
        assert sorted(p.name for p in saved.iterdir()) == ["model.json", "model.safetensors"]
        assert [p.name for p in saved.parent.iterdir()] == ["model"]

    def test_folders_above_it_are_made(self, tmp_path: Path) -> None:
        save_model(model(None), card(None), tmp_path / "a" / "b" / "model")
        assert load_model(tmp_path / "a" / "b" / "model")[1] == card(None)


class TestWholeOrNotAtAll:
    @pytest.mark.parametrize("wrong", ["weights", "description"])
    def test_nothing_is_left_of_a_model_that_could_not_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
    ) -> None:
        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        if wrong == "weights":
            monkeypatch.setattr("dirtypixels.deploy.models.save_file", full)
        else:
            monkeypatch.setattr(ModelCard, "model_dump_json", full)
        with pytest.raises(OSError, match="No space left"):
            save_model(model(None), card(None), tmp_path / "model")
        assert not list(tmp_path.iterdir())

    def test_the_folder_has_both_files_from_its_first_moment_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = []
        rename = Path.rename

        def watched(self: Path, target: Path) -> Path:
            seen.append((target.exists(), sorted(p.name for p in self.iterdir())))
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", watched)
        save_model(model(None), card(None), tmp_path / "model")
        assert seen == [(False, ["model.json", "model.safetensors"])]

    def test_what_is_there_is_never_replaced(self, saved: Path) -> None:
        before = {p.name: p.read_bytes() for p in saved.iterdir()}
        with pytest.raises(FileExistsError, match=r"folder must not exist yet; found '.*model'"):
            save_model(model(None), card(None), saved)
        assert {p.name: p.read_bytes() for p in saved.iterdir()} == before

    def test_a_file_in_the_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "model").write_text("mine")
        with pytest.raises(FileExistsError, match="folder must not exist yet"):
            save_model(model(None), card(None), tmp_path / "model")
        assert (tmp_path / "model").read_text() == "mine"


class TestDamage:
    def test_a_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"model must be a folder with model\.json; found none at '.*none'"):
            load_model(tmp_path / "none")

    @pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
    def test_a_missing_file(self, saved: Path, name: str) -> None:
        (saved / name).unlink()
        with pytest.raises(FileNotFoundError, match=rf"model must be a folder with {name}; found none at"):
            load_model(saved)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (b"", ["Expecting value"]),
            (b"{", ["Expecting property name"]),
            (b"[]", ["dictionary"]),
            (b"\xff\xfe", ["decode"]),
            ({"schema_version": 2}, ["schema_version", "1"]),
            ({"classes": []}, ["classes", "at least 1"]),
            ({"image_size": 0}, ["image_size", "greater than or equal to 1"]),
            ({"transfer": "gamma"}, ["transfer", "'linear' or 'srgb'"]),
            ({"unit": {"layers": 0}}, ["unit", "layers", "greater than or equal to 1"]),
            ({"weights": "x"}, ["weights", "not permitted"]),
        ],
    )
    def test_a_description_that_is_not_valid(self, saved: Path, change: object, words: list[str]) -> None:
        file = saved / "model.json"
        if isinstance(change, dict):
            change = json.dumps(json.loads(file.read_text()) | change).encode()
        assert isinstance(change, bytes)
        file.write_bytes(change)
        with pytest.raises(ValueError, match=r"model\.json' is not a valid model description") as raised:
            load_model(saved)
        assert all(word in str(raised.value) for word in words), str(raised.value)

    @pytest.mark.parametrize(
        ("change", "words"),
        [({"network": "test_efficientnot"}, ["network of timm", "test_efficientnet"]), ({"unit": {"gap": 2}}, ["gap"])],
    )
    def test_a_description_of_what_cannot_be_built(
        self, saved: Path, change: dict[str, object], words: list[str]
    ) -> None:
        file = saved / "model.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
        with pytest.raises(ValueError, match=r"model\.json' describes a model that cannot be built") as raised:
            load_model(saved)
        assert all(word in str(raised.value) for word in words), str(raised.value)

    def test_weights_that_end_too_early(self, saved: Path) -> None:
        file = saved / "model.safetensors"
        whole = file.read_bytes()
        for length in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:length])
            with pytest.raises(ValueError, match=r"model\.safetensors' does not fit model\.json"):
                load_model(saved)

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            ({"classes": ["a", "b"]}, "size mismatch"),
            ({"unit": None}, "Unexpected key"),
            ({"unit": {"layers": 3}}, "Missing"),
        ],
    )
    def test_weights_of_another_model(self, saved: Path, change: dict[str, object], word: str) -> None:
        file = saved / "model.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
        with pytest.raises(ValueError, match=r"model\.safetensors' does not fit model\.json") as raised:
            load_model(saved)
        assert word in str(raised.value)

    def test_a_missing_tensor_is_named(self, saved: Path) -> None:
        file = saved / "model.safetensors"
        state = load_file(file)
        removed = next(name for name in state if name.startswith("unit."))
        del state[removed]
        save_file(state, file)
        with pytest.raises(ValueError, match="does not fit") as raised:
            load_model(saved)
        assert removed in str(raised.value)


class Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


class TestNothingIsUnpickled:
    def test_a_pickle_in_the_place_of_the_weights(self, saved: Path, tmp_path: Path) -> None:
        file, target = saved / "model.safetensors", tmp_path / "exploded"
        pickle.loads(pickle.dumps(Bomb(target)))
        assert target.exists()  # so it would have been seen
        target.unlink()
        file.write_bytes(pickle.dumps(Bomb(target)))
        with pytest.raises(ValueError, match="does not fit"):
            load_model(saved)
        torch.save({"head.network.conv_stem.weight": Bomb(target)}, file)
        with pytest.raises(ValueError, match="does not fit"):
            load_model(saved)
        assert not target.exists()

    def test_loading_calls_no_unpickler(self, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("unpickled")

        for name in ("load", "loads", "Unpickler"):
            monkeypatch.setattr(pickle, name, refuse)
        monkeypatch.setattr(torch, "load", refuse)
        assert torch.equal(logits(load_model(saved)[0]), logits(model()))


def test_a_unit_is_built_as_its_recipe_says() -> None:
    solver = build_unit(Unit(layers=3, filter_size=7, hidden=9, gap=12, color="shared")).solver
    assert isinstance(solver, Unrolled)
    assert (solver.layers, len(solver.iterations), solver.gap) == (3, 3, 12)
    assert solver.iterations[0].filters.shape == (48, 1, 7, 7)
    assert solver.state_dict()["iterations.0.prior.prox.weights.0"].shape == (9, 48)
    tied = build_unit(Unit(layers=3, tied=True)).solver
    assert isinstance(tied, Unrolled)
    assert (tied.layers, len(tied.iterations)) == (3, 1)


def test_a_model_from_before_the_spelling_changed_loads(saved: Path) -> None:
    content = json.loads((saved / "model.json").read_text())
    content["unit"]["colour"] = content["unit"].pop("color")
    content["recipe"] = {"finetuning": {"optimiser": "adamw"}, "deblur": {"colour": "own", "start": "zero"}}
    (saved / "model.json").write_text(json.dumps(content))
    found, said = load_model(saved)
    assert torch.equal(logits(found), logits(model()))
    assert said.unit == UNIT
    assert said.recipe == {"finetuning": {"optimizer": "adamw"}, "deblur": {"color": "own", "start": "zero"}}


def test_a_unit_from_before_its_start_was_chosen_is_the_same_unit(tmp_path: Path) -> None:
    """Its description has neither a start nor a growth of the coupling, and its colors are stated."""
    old = Unit(hidden=4, filter_size=3, layers=2, color="shared", start="identity", growth=1)
    save_model(model(old), card(old), tmp_path / "model")
    file = tmp_path / "model" / "model.json"
    content = json.loads(file.read_text())
    for key in ("start", "growth", "scales"):
        del content["unit"][key]
    file.write_text(json.dumps(content))
    found, said = load_model(tmp_path / "model")
    assert said.unit == old
    assert torch.equal(logits(found), logits(model(old)))


def test_a_unit_on_several_scales(tmp_path: Path) -> None:
    unit = Unit(hidden=4, filter_size=3, layers=2, scales=2)
    built = build_unit(unit)
    assert isinstance(built, Denoiser)
    assert isinstance(built.solver, CoarseToFine)
    fine, coarse = built.solver.solvers
    assert [layer.prox.skip for layer in coarse.iterations] == [False, True]
    assert sum(p.numel() for p in fine.parameters()) == sum(p.numel() for p in coarse.parameters())
    save_model(model(unit), card(unit), tmp_path / "model")
    assert torch.equal(logits(load_model(tmp_path / "model")[0]), logits(model(unit)))


def test_a_classifier_that_enlarges_its_images(tmp_path: Path) -> None:
    torch.manual_seed(5)
    made = JointModel(None, classifier(NETWORK, None, len(CLASSES), upsample=2)).eval()
    save_model(made, card(None, upsample=2), tmp_path / "model")
    assert torch.equal(logits(load_model(tmp_path / "model")[0]), logits(made))


def level(value: float) -> Tensor:
    return torch.full((1, 1, 1, 1), value)


class TestFitObservation:
    def test_the_middle_is_averaged_and_the_noise_with_it(self) -> None:
        signal = torch.rand(1, 3, 66, 101, generator=torch.Generator().manual_seed(0))
        found = fit_observation(Observation(signal, level(0.06), level(0.16)), 32)
        assert torch.allclose(found.signal, signal[..., 1:65, 18:82].unflatten(-1, (32, 2)).unflatten(-3, (32, 2)).mean(
            (-3, -1)))  # fmt: skip
        assert (float(found.alpha), float(found.sigma)) == pytest.approx((0.06 / 4, 0.16 / 2))

    def test_one_that_fits_stays_as_it_is(self) -> None:
        given = Observation(torch.rand(1, 3, 40, 40), level(0.06), level(0.16), torch.ones(1, 1, 1, 1))
        found = fit_observation(given, 40)
        assert torch.equal(found.signal, given.signal)
        assert found.psf is given.psf

    @pytest.mark.parametrize("n", [2, 3])
    def test_its_psf_gives_the_average_of_the_blurred_scene(self, n: int) -> None:
        draw = torch.Generator().manual_seed(n)
        psf = torch.rand(1, 1, 7, 5, generator=draw, dtype=torch.float64)
        psf /= psf.sum()
        coarse = torch.rand(1, 1, 20, 20, generator=draw, dtype=torch.float64)
        fine = coarse.repeat_interleave(n, -2).repeat_interleave(n, -1)
        blurred = conv2d(fine, psf.flip(-2, -1), padding="same")
        found = fit_observation(Observation(blurred, level(0.1).double(), level(0.1).double(), psf), 20)
        assert found.psf is not None
        assert float(found.psf.sum()) == pytest.approx(1)
        expected = conv2d(coarse, found.psf.flip(-2, -1), padding="same")
        assert torch.allclose(found.signal[..., 4:-4, 4:-4], expected[..., 4:-4, 4:-4])

    def test_raises_where_it_is_too_small_or_a_mosaic(self) -> None:
        with pytest.raises(ValueError, match="at least 80 pixels a side; found 64 x 64"):
            fit_observation(observation(), 80)
        mosaic = replace(observation(), cfa=torch.arange(64).remainder(2).float().expand(1, 3, 64, 64))
        with pytest.raises(ValueError, match="cfa"):
            fit_observation(mosaic, 32)
