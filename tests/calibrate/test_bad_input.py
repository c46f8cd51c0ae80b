"""What people get wrong, end to end: simulated captures spoiled in one way each, and what the command says."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tifffile
import torch
from PIL import ExifTags, Image
from scipy import ndimage

from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.chart_print import write_chart
from dirtypixels.calibrate.simulate import HANDHELD_POSES, Pose, realistic_camera, simulate_captures
from dirtypixels.cli.main import main
from dirtypixels.raw.folders import read_frames, write_frames
from dirtypixels.raw.frames import Frame

pytest.importorskip("cv2")

CAMERA = realistic_camera()
CHART = BernoulliChart.for_sensor(640, 480)
BLACK, WHITE = 256.0, 4095.0
HEIGHT, WIDTH = 192, 256


class Said(NamedTuple):
    """How a command ended: 0 trusted, 1 measured and not to be trusted, 2 refused; and its words, in one line."""

    status: int
    words: str


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captures of one gain, on a small frame, and one of the chart."""
    folder = tmp_path_factory.mktemp("bad-input") / "good"
    simulate_captures(folder, realistic_camera(height=HEIGHT, width=WIDTH), isos=(100,), exposures=4, poses=())
    darks = [replace(frame, exposure_s=0.0) for frame in read_frames(folder / "darks")]
    frames = [*read_frames(folder / "noise"), *darks]
    for part in ("noise", "darks"):
        shutil.rmtree(folder / part)
    write_frames(frames, folder / "noise")
    (folder / "chart").mkdir()
    chart_capture()(folder)
    write_chart(CHART, folder / "chart.png")
    return folder


@pytest.fixture
def captures(good: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(good, tmp_path / "captures"))


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs the command as it is typed."""

    def run(*argv: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["dirtypixels", *map(str, argv)])
        monkeypatch.setenv("COLUMNS", "10000")
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        status = int(end.value.code or 0)
        if status == 2:
            assert out == ""
            assert err.startswith("dirtypixels: ")
            assert err.count("\n") == 1, "a refusal is one line"
        return Said(status, " ".join((out + err).split()))

    return run


def noise(folder: Path) -> tuple[object, ...]:
    return "calibrate", "noise", folder / "noise", "-o", folder / "profile"


def psf(folder: Path, profile: str = "profile") -> tuple[object, ...]:
    return (
        *("calibrate", "psf", folder / "chart", "--chart", folder / "chart.png"),
        *("--pitch-um", 2, "--size", 15, "-o", folder / profile),
    )


# Ways to spoil captures ----


def each_value(change: Callable[[np.ndarray, str], np.ndarray]) -> Callable[[Path], None]:
    """Change the samples of every noise capture, given with its file's name."""

    def spoil(folder: Path) -> None:
        for path in (folder / "noise").glob("*.tiff"):
            values = change(tifffile.imread(path).astype(float), path.name)
            tifffile.imwrite(path, np.clip(np.round(values), 0, WHITE).astype(np.uint16), photometric="minisblack")

    return spoil


def each_line(change: Callable[[dict[str, str]], dict[str, str] | None]) -> Callable[[Path], None]:
    """Change every line of the noise captures' table; None takes it away, and the file with it."""

    def spoil(folder: Path) -> None:
        table = folder / "noise" / "captures.csv"
        lines = list(csv.DictReader(table.open(encoding="utf-8")))
        kept = [changed for line in lines if (changed := change(dict(line))) is not None]
        for line in lines:
            if line["file"] not in {other["file"] for other in kept}:
                (folder / "noise" / line["file"]).unlink()
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(kept)

    return spoil


def one_file(write: Callable[[Path], object], name: str = "iso100-flat3-1.tiff") -> Callable[[Path], None]:
    """Write something else in place of a noise capture; under another name it takes that one's line in the table."""

    def spoil(folder: Path) -> None:
        (folder / "noise" / "iso100-flat3-1.tiff").unlink()
        write(folder / "noise" / name)
        table = folder / "noise" / "captures.csv"
        table.write_text(table.read_text().replace("iso100-flat3-1.tiff", name))

    return spoil


def chart_capture(**known: Any) -> Callable[[Path], None]:
    """Photograph the chart in another way."""

    def photograph(chart: Any = CHART, pose: Pose = HANDHELD_POSES[0], **light: Any) -> Frame:
        return CAMERA.photograph(chart, 100, torch.Generator().manual_seed(1), pose=pose, **light)

    return chart_frame(lambda: photograph(**known))


def chart_frame(make: Callable[[], Frame]) -> Callable[[Path], None]:
    """Put a frame in place of the chart capture."""

    def spoil(folder: Path) -> None:
        shutil.rmtree(folder / "chart")
        write_frames([replace(make(), path=Path("chart-1.tiff"))], folder / "chart")

    return spoil


def chart_stating(**wrong: Any) -> Callable[[Path], None]:
    """A good capture of the chart that states something else of itself."""

    def make() -> Frame:
        return replace(CAMERA.photograph(CHART, 100, torch.Generator().manual_seed(1), pose=HANDHELD_POSES[0]), **wrong)

    return chart_frame(make)


def chart_seen(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """A capture of the chart whose light was changed on its way, alike in all colors."""

    def make() -> Frame:
        light = change(realistic_camera(color=(1.0, 1.0, 1.0)).render(CHART, HANDHELD_POSES[0]))
        return CAMERA.expose(CAMERA.colored(light), 100, torch.Generator().manual_seed(1), exposure_s=0.01)

    return chart_frame(make)


def chart_developed() -> Frame:
    """A capture of the chart with its black level taken off, encoded for a screen."""
    frame = CAMERA.photograph(CHART, 100, torch.Generator().manual_seed(1), pose=HANDHELD_POSES[0])
    return replace(frame, values=gamma(frame.values.astype(float), "").astype(np.uint16), black=(0.0,) * 4)


def out_of_focus(light: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[-8:9, -8:9]
    disk = x**2 + y**2 <= 64
    return ndimage.convolve(light, disk / disk.sum())


def covered(light: np.ndarray) -> np.ndarray:
    found = light.copy()
    found[100:330, 150:480] = 0.3
    return found


def two_lenses(folder: Path) -> None:
    """Two captures of the chart, as their files say through two lenses at two apertures."""
    frames = [CAMERA.photograph(CHART, 100, torch.Generator().manual_seed(i), pose=HANDHELD_POSES[i]) for i in (0, 1)]
    names = ("chart-1.tiff", "chart-2.tiff")
    write_frames([replace(f, path=Path(name)) for f, name in zip(frames, names, strict=True)], fresh(folder / "chart"))
    for frame, name, aperture, lens in zip(frames, names, (1.8, 11.0), ("A", "B"), strict=True):
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif).update({ExifTags.Base.FNumber: aperture, ExifTags.Base.LensModel: lens})
        exif[ExifTags.IFD.Exif] = 0
        Image.fromarray(frame.values).save(folder / "chart" / name, exif=exif)


def random_values(shape: tuple[int, ...], dtype: type, high: int = 255) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, shape).astype(dtype)


def truncated(path: Path, content: bytes) -> None:
    path.write_bytes(content[: len(content) // 2])


def picture_of_8_bits(path: Path) -> None:
    Image.fromarray(random_values((HEIGHT, WIDTH), np.uint8)).save(path)


def tiff_bytes() -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    tifffile.imwrite(buffer, random_values((HEIGHT, WIDTH), np.uint16, 4095))
    return buffer.getvalue()


def with_nan(path: Path) -> None:
    values = random_values((HEIGHT, WIDTH), np.float32, 4095)
    values[3, 4] = np.nan
    np.save(path, values)


def gamma(values: np.ndarray, _: str) -> np.ndarray:
    """A developed picture: black level taken off, encoded for a screen."""
    return WHITE * np.clip((values - BLACK) / (WHITE - BLACK), 0, 1) ** (1 / 2.2)


def drifting(folder: Path) -> None:
    """The second frame of each pair has a fifth more light."""
    frames = read_frames(folder / "noise")
    shutil.rmtree(folder / "noise")
    camera, generator = realistic_camera(height=HEIGHT, width=WIDTH), torch.Generator().manual_seed(2)
    lights = [12.0 if frame.path is not None and frame.path.stem.endswith("-2") else 10.0 for frame in frames]
    write_frames(
        [
            replace(camera.flat(light, 100, frame.exposure_s or 0.0, generator), path=frame.path)
            for light, frame in zip(lights, frames, strict=True)
        ],
        folder / "noise",
    )


def only(part: str) -> Callable[[Path], None]:
    return each_line(lambda line: line if part in line["file"] else None)


def without(part: str) -> Callable[[Path], None]:
    return each_line(lambda line: None if part in line["file"] else line)


def stated(**cells: str) -> Callable[[Path], None]:
    return each_line(lambda line: line | cells)


def for_one(**cells: str) -> Callable[[Path], None]:
    """Another statement for one of the frames."""
    return each_line(lambda line: line | cells if line["file"] == "iso100-flat3-1.tiff" else line)


class Turned(NamedTuple):
    pattern: np.ndarray


class Case(NamedTuple):
    kind: str
    spoil: Callable[[Path], object]
    status: int
    words: Sequence[str]


def parameters(cases: Sequence[Case]) -> list[Any]:
    return [pytest.param(case, id=case.kind) for case in cases]


NOISE = (
    Case("black level too low", stated(black="64"), 2, ("black level", "64", "256")),
    Case("black level too high", stated(black="300"), 2, ("black level", "300", "256")),
    Case("black level unknown", lambda f: (only("-flat3-")(f), stated(black="")(f)), 2, ("black",)),
    Case("white level too high", stated(white="16383"), 2, ("white level", "16383", "4095")),
    Case("white level too low", stated(white="1023"), 2, ("white level", "1023")),
    Case("one exposure only", only("-flat3-"), 2, ("two exposures", "one only")),
    Case("single frames without pairs", without("-2.tiff"), 2, ("two frames of each exposure",)),
    Case("dark frames only", only("-dark-"), 2, ("dark frames only",)),
    Case("mixed cameras", for_one(camera="another"), 2, ("one camera", "another", "simulated")),
    Case("mixed color patterns", for_one(cfa="GBRG"), 2, ("one camera", "GBRG", "RGGB")),
    Case("ISO unknown", lambda f: (without("-flat4-")(f), without("-flat1-")(f), stated(iso="")(f)), 0,
         ("do not state their ISO",)),
    Case("ISO of one frame unknown", for_one(iso=""), 2, ("ISO", "iso100-flat3-1.tiff")),
    Case("no color pattern for a mosaic", stated(cfa=""), 2, ("cfa", "color filters")),
    Case("wrong color pattern", stated(cfa="GRBG"), 2, ("cfa", "RGGB")),
    Case("JPEG", one_file(lambda p: Image.fromarray(random_values((HEIGHT, WIDTH, 3), np.uint8)).save(p, "JPEG")), 2,
         ("JPEG", "10 to 16 bits", "iso100-flat3-1.tiff")),
    Case("PNG of 8 bits", one_file(lambda p: picture_of_8_bits(p), "a.png"), 2, ("8 bits", "a.png")),
    Case("demosaicked", one_file(lambda p: tifffile.imwrite(p, random_values((HEIGHT, WIDTH, 3), np.uint16, 4095))), 2,
         ("demosaicked", "iso100-flat3-1.tiff")),
    Case("NaN", one_file(with_nan, "a.npy"), 2, ("finite", "a.npy")),
    Case("truncated TIFF", one_file(lambda p: truncated(p, tiff_bytes())), 2, ("damaged", "iso100-flat3-1.tiff")),
    Case("truncated DNG", one_file(lambda p: truncated(p, tiff_bytes()), "a.dng"), 2, ("a.dng",)),
    Case("empty file", one_file(lambda p: p.write_bytes(b"")), 2, ("empty", "iso100-flat3-1.tiff")),
    Case("gamma", lambda f: (each_value(gamma)(f), stated(black="0")(f)), 2, ("not linear",)),
    Case("light drifts", drifting, 1, ("the light changed by",)),
    Case("too few levels", each_value(lambda v, _: np.round(v / 64) * 64), 2, ("levels", "more bits")),
    Case("all saturated", each_value(lambda v, name: v if "dark" in name else v * 0 + WHITE), 2, ("saturated",)),
    Case("table with semicolons", lambda f: rewrite(f / "noise" / "captures.csv", ",", ";"), 2, ("commas",)),
    Case("table lists a file that is not there", lambda f: (f / "noise" / "iso100-flat2-2.tiff").unlink(), 2,
         ("iso100-flat2-2.tiff", "does not hold")),
    Case("no captures", lambda f: shutil.rmtree(f / "noise"), 2, ("no file or folder", "noise")),
)  # fmt: skip

PSF = (
    Case("chart saturated", chart_capture(exposure=1.6), 2, ("overexposed", "of the chart's white is at saturation")),
    Case("chart cut off", chart_capture(pose=Pose(fill=0.97, offset=(0.3, 0.0))), 2, ("the chart is cut off",)),
    Case("chart turned by 90 degrees", chart_capture(pose=Pose(fill=0.95, rotation=90)), 1,
         ("turned by 90 degrees clockwise",)),
    Case("camera turned by 90 degrees", chart_capture(pose=Pose(fill=1.3, rotation=-90)), 2,
         ("cut off", "turned by 90 degrees counter-clockwise")),
    Case("chart mirrored", chart_capture(chart=Turned(CHART.pattern[:, ::-1])), 2, ("the chart is mirrored",)),
    Case("chart of another seed", chart_capture(chart=replace(CHART, seed=7)), 2,
         ("with other noise", "its seed is not 0")),
    Case("chart of another size", chart_capture(chart=BernoulliChart(3, 3, block=70, square=16, border=8)), 2,
         ("another chart: 4 x 4 markers were seen",)),
    Case("no chart", chart_frame(lambda: CAMERA.flat(5.0, 100, 0.1, torch.Generator().manual_seed(0))), 2,
         ("image shows no chart",)),
    Case("chart too dark", chart_capture(exposure=0.005), 2, ("too dark", "Expose longer")),
    Case("chart too far away", chart_capture(pose=Pose(fill=0.5)), 2, ("px wide", "Move nearer")),
    Case("chart too noisy", chart_capture(snr_db=0.0), 2, ("image is too noisy", "Average several frames")),
    Case("chart covered", chart_seen(covered), 2, ("markers cannot be read", "something covers the chart")),
    Case("chart out of focus", chart_seen(lambda light: ndimage.gaussian_filter(light, 4.0)), 2,
         ("out of focus", "at most 4 px can be measured")),
    Case("chart far out of focus", chart_seen(out_of_focus), 2, ("out of focus", "Focus on the chart")),
    Case("chart blurred by movement", chart_seen(lambda light: (light + np.roll(light, 6, 1)) / 2), 2,
         ("blurred by movement", "double image")),
    Case("chart developed", chart_frame(chart_developed), 1, ("FAIL", "not linear in light")),
    Case("chart's black level too low", chart_stating(black=(100.0,) * 4), 0, ("black level seems", "DN too low")),
    Case("chart's black level too high", chart_stating(black=(350.0,) * 4), 0, ("black level seems", "DN too high")),
    Case("chart's black level far too high", chart_stating(black=(1000.0,) * 4), 2,
         ("wrong black level", "chart-1.tiff", "1000 DN")),
    Case("chart's color pattern wrong", chart_stating(cfa="GRBG"), 2, ("cfa GRBG", "RGGB or BGGR")),
    Case("chart's color pattern missing", chart_stating(cfa=None), 2, ("states no cfa", "RGGB or BGGR")),
    Case("chart through two lenses", two_lenses, 2,
         ("one lens", "chart-1.tiff and", "chart-2.tiff differ", "lens A and B", "aperture f/1.8 and f/11")),
    Case("chart file is a photograph", lambda f: Image.new("RGB", (64, 64)).save(f / "chart.png"), 2, ("chart.png",)),
    Case("chart file is none", lambda f: (f / "chart.png").unlink(), 2, ("chart.png",)),
    Case("chart capture of 8 bits",
         lambda f: ((f / "chart" / "captures.csv").unlink(), (f / "chart" / "chart-1.tiff").unlink(),
                    picture_of_8_bits(f / "chart" / "a.png")), 2, ("8 bits", "a.png")),
    Case("chart captures of two cameras",
         lambda f: write_frames([CAMERA.flat(1, 100, 0.1), realistic_camera(height=320, width=400).flat(1, 100, 0.1)],
                                fresh(f / "chart")), 2, ("one camera", "640 x 480", "400 x 320")),
)  # fmt: skip


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder)
    return folder


def rewrite(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def found(said: Said, words: Sequence[str]) -> bool:
    """Whether all words are there."""
    return all(word in said.words for word in words)


def test_what_is_not_spoiled_is_trusted_and_what_is_changed_afterwards_is_not(
    captures: Path, say: Callable[..., Said]
) -> None:
    """The first half gives the refusals below their meaning."""
    for command in (noise(captures), psf(captures, "lens")):
        said = say(*command)
        assert said.status == 0, said
        assert "PASS" in said.words
    said = say(*psf(captures))
    assert said.status == 2, said
    assert found(said, ("out must be the profile of the camera", "256 x 192", "640 x 480")), said
    file = captures / "profile" / "camera.json"
    content = json.loads(file.read_text())
    content["noise"]["gains"][0]["alpha"][0] *= 2
    file.write_text(json.dumps(content))
    said = say("cameras", captures / "profile", "-o", captures)
    assert said.status == 2, said
    assert found(said, ("is not valid", "noise.gains", "ISO 100 R")), said


@pytest.mark.parametrize("case", parameters(NOISE))
def test_noise_captures(case: Case, captures: Path, say: Callable[..., Said]) -> None:
    case.spoil(captures)
    said = say(*noise(captures))
    assert said.status == case.status, said
    assert found(said, case.words), said
    assert (captures / "profile").exists() == (case.status != 2)


@pytest.mark.parametrize("case", parameters(PSF))
def test_chart_captures(case: Case, captures: Path, say: Callable[..., Said]) -> None:
    case.spoil(captures)
    said = say(*psf(captures))
    assert said.status == case.status, said
    assert found(said, case.words), said
    assert (captures / "profile").exists() == (case.status != 2)


def test_a_profile_without_its_psfs(captures: Path, say: Callable[..., Said]) -> None:
    (captures / "truth" / "psf.npz").unlink()
    said = say("cameras", captures / "truth", "-o", captures)
    assert said.status == 2, said
    assert found(said, ("psf.npz", "belong together")), said
