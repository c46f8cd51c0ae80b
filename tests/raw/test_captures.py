"""Captures as files: what comes back, how exactly, and what damaged files are met with."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from dirtypixels.observation import Observation
from dirtypixels.raw import CaptureNote, read_capture, write_capture
from dirtypixels.raw.captures import Depth

# What rounding to the nearest of n + 1 levels does at most, and what float32 adds to a number of up to 1.
BOUNDS: dict[Depth, float] = {"float": 0.0, "16": 0.5 / 65535 + 2**-23, "8": 0.5 / 255 + 2**-23}
SUFFIXES: dict[Depth, str] = {"float": ".tiff", "16": ".tiff", "8": ".png"}


def observation(height: int = 9, width: int = 7) -> Observation:
    """Random signal that holds both ends of the range."""
    signal = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    signal[0, :, 0, 0], signal[0, :, 0, 1] = 0.0, 1.0
    return Observation(signal, torch.full((1, 1, 1, 1), 0.0624), torch.full((1, 1, 1, 1), 0.1578))


def note(file: str = "a.tiff", **changes: object) -> CaptureNote:
    content = {
        "file": file, "alpha": 0.0624, "sigma": 0.1578, "camera": "nexus-6p-rear", "camera_hash": "0123",
        "lux": 6.0, "transfer": "linear", "seed": 4, "scene": "a.jpg",
    }  # fmt: skip
    return CaptureNote.model_validate({**content, **changes})


class TestRoundTrip:
    @pytest.mark.parametrize("depth", ["16", "float", "8"])
    def test_the_signal_is_within_half_a_level(self, tmp_path: Path, depth: Depth) -> None:
        obs, written = observation(), note(f"a{SUFFIXES[depth]}")
        path = write_capture(obs, written, tmp_path / "new" / "folder", depth)
        found, said = read_capture(path)
        assert path == tmp_path / "new" / "folder" / written.file
        assert found.signal.shape == obs.signal.shape
        assert found.signal.dtype == torch.float32
        error = float((found.signal - obs.signal).abs().max())
        assert error <= BOUNDS[depth]
        if depth != "float":
            assert (
                error > BOUNDS[depth] / 2
            )  # so many pixels come near to the bound: it is the depth that was asked for
        assert float(found.signal.min()) == 0
        assert float(found.signal.max()) == 1
        assert said == written
        assert torch.equal(found.alpha, obs.alpha)
        assert torch.equal(found.sigma, obs.sigma)
        assert found.psf is None
        assert found.cfa is None

    @pytest.mark.parametrize("depth", ["16", "float", "8"])
    def test_one_pixel_and_one_row(self, tmp_path: Path, depth: Depth) -> None:
        for size in ((1, 1), (1, 8), (8, 1), (2, 3), (3, 2), (3, 3)):
            obs = Observation(torch.rand(1, 3, *size), torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
            found, _ = read_capture(write_capture(obs, note(f"a{SUFFIXES[depth]}"), tmp_path, depth))
            assert found.signal.shape == (1, 3, *size)
            assert float((found.signal - obs.signal).abs().max()) <= BOUNDS[depth]

    def test_other_programs_see_the_depth(self, tmp_path: Path) -> None:
        obs = observation()
        for depth, dtype in (("16", np.uint16), ("float", np.float32)):
            values = tifffile.imread(write_capture(obs, note(), tmp_path, depth))  # type: ignore[arg-type]
            assert values.dtype == dtype
            assert values.shape == (9, 7, 3)
        with Image.open(write_capture(obs, note("a.png"), tmp_path, "8")) as image:
            assert (image.mode, image.size) == ("RGB", (7, 9))

    def test_the_note_is_json_next_to_the_picture(self, tmp_path: Path) -> None:
        path = write_capture(observation(), note("b.x.tiff"), tmp_path)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["b.x.json", "b.x.tiff"]
        said = json.loads((tmp_path / "b.x.json").read_text())
        assert said == {"schema_version": 1, **note("b.x.tiff").model_dump()}
        assert read_capture(path)[1].seed == 4

    def test_a_picture_is_replaced(self, tmp_path: Path) -> None:
        write_capture(observation(), note(seed=1), tmp_path)
        path = write_capture(observation(3, 3), note(seed=2), tmp_path)
        found, said = read_capture(path)
        assert found.signal.shape == (1, 3, 3, 3)
        assert said.seed == 2


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 1, 4, 4), (0, 3, 4, 4)])
def test_only_one_color_capture_is_written(tmp_path: Path, shape: tuple[int, ...]) -> None:
    noise = torch.zeros(shape[0], 1, 1, 1)
    with pytest.raises(ValueError, match=r"signal must have shape \(1, 3, H, W\)") as raised:
        write_capture(Observation(torch.zeros(shape), noise, noise), note(), tmp_path)
    assert str(shape) in str(raised.value)
    assert not list(tmp_path.iterdir())


# Some damage leaves a TIFF that is read without an error, as no picture at all.
UNREADABLE = r"capture '.*a\.(tiff|png)' (cannot be read|must have 3 channels; found shape \(0,\))"


class TestDamage:
    @pytest.fixture(params=["16", "float", "8"])
    def path(self, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
        return write_capture(observation(), note(f"a{SUFFIXES[request.param]}"), tmp_path, request.param)

    def test_a_missing_part_is_named(self, path: Path) -> None:
        note_file = path.with_suffix(".json")
        note_file.rename(note_file.with_suffix(".away"))
        with pytest.raises(FileNotFoundError, match=r"the note next to it.* found no '.*a\.json'"):
            read_capture(path)
        note_file.with_suffix(".away").rename(note_file)
        path.unlink()
        with pytest.raises(FileNotFoundError, match=rf"needs its picture.* found no '.*a\{path.suffix}'"):
            read_capture(path)

    def test_a_picture_that_ends_too_early(self, path: Path) -> None:
        whole = path.read_bytes()
        signal = read_capture(path)[0].signal
        for length in (0, 1, 4, 8, 20, len(whole) // 2, len(whole) - 40):
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match=UNREADABLE):
                read_capture(path)
        path.write_bytes(whole)
        assert torch.equal(read_capture(path)[0].signal, signal)

    def test_a_picture_that_is_none(self, path: Path) -> None:
        for content in (b"no picture at all", b"\x00" * 1000, b"II*\x00" + b"\xff" * 100, b"\x89PNG\r\n\x1a\n"):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=UNREADABLE):
                read_capture(path)

    @pytest.mark.filterwarnings("ignore")  # of readers that see the damage too
    def test_bytes_that_changed_are_read_or_refused_but_no_other_error_is_raised(self, path: Path) -> None:
        whole, random = path.read_bytes(), Random(0)
        for _ in range(300):
            damaged = bytearray(whole)
            for _ in range(random.choice((1, 2, 8))):
                damaged[random.randrange(min(300, len(whole)))] = random.randrange(256)
            path.write_bytes(damaged)
            try:
                found, _ = read_capture(path)
            except ValueError as error:
                assert str(path) in str(error)  # noqa: PT017
            else:
                assert 0 <= float(found.signal.min()) <= float(found.signal.max()) <= 1

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("{", ["JSON"]),
            ("[]", ["CaptureNote"]),
            ('{"alpha": 1}', ["sigma", "required"]),
            ({"alpha": -1}, ["alpha", "greater than or equal to 0"]),
            ({"sigma": "high"}, ["sigma", "number"]),
            ({"lux": 0}, ["lux", "greater than 0"]),
            ({"schema_version": 2}, ["schema_version", "1"]),
            ({"iso": 100}, ["iso", "not permitted"]),
            (b"\xff\xfe", ["note"]),
        ],
    )
    def test_a_note_that_is_damaged(self, path: Path, content: object, words: list[str]) -> None:
        note_file = path.with_suffix(".json")
        if isinstance(content, dict):
            content = json.dumps(json.loads(note_file.read_text()) | content)
        note_file.write_bytes(content if isinstance(content, bytes) else str(content).encode())
        with pytest.raises(ValueError, match=r"a\.json' is not a valid capture note") as raised:
            read_capture(path)
        assert all(word in str(raised.value) for word in words), str(raised.value)

    def test_a_gray_picture(self, tmp_path: Path) -> None:
        path = write_capture(observation(), note(), tmp_path)
        tifffile.imwrite(path, np.zeros((5, 4), dtype=np.uint16))
        with pytest.raises(ValueError, match=r"must have 3 channels; found shape \(5, 4\)"):
            read_capture(path)

    @pytest.mark.parametrize(
        ("value", "message"), [(1.5, "in \\[0, 1\\]; found values from 0 to 1.5"), (np.nan, "finite")]
    )
    def test_a_signal_that_no_sensor_gives(self, tmp_path: Path, value: float, message: str) -> None:
        path = write_capture(observation(), note(), tmp_path, "float")
        values = np.zeros((5, 4, 3), dtype=np.float32)
        values[2, 2, 2] = value
        tifffile.imwrite(path, values, photometric="rgb")
        with pytest.raises(ValueError, match=rf"a\.tiff' must be {message}"):
            read_capture(path)
