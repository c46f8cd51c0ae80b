"""New figures of another camera than the profile's are refused; what is unknown is no difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.belonging import capture_file, check_belongs, seen_in
from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.profile import record, with_noise, with_optics
from dirtypixels.camera import Camera, PsfField, gaussian_psf
from dirtypixels.camera.schema import SeenCamera
from dirtypixels.raw.frames import Frame

FIELD = PsfField(gaussian_psf(0.5).expand(2, 3, 1, 5, 5).clone(), "measured on a chart", 1.4)
NOTE = [Diagnostic("drift", "note", "the light drifted by 0.1 %")]


def frame(camera: str | None = "Bench One", cfa: str | None = "RGGB", size: tuple[int, int] = (4, 6), iso: float = 100,
          black: float | None = 64, white: float | None = 1023) -> Frame:  # fmt: skip
    levels = None if black is None else (black,) * 4
    return Frame(np.zeros(size, np.uint16), cfa, levels, white, iso=iso, camera=camera)


def noise_of(*frames: Frame) -> Camera:
    return with_noise(None, "mine", ([100], [1e-3], [0.0]), "x", record("frame pairs", NOTE, frames))


def check(camera: Camera | None, *frames: Frame, part: Any = "optics", named: bool = False) -> None:
    check_belongs(camera, part, seen_in(frames), [capture_file(f) for f in frames], named=named)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (frame("Nikon D850"), "the camera's name 'Bench One' and 'Nikon D850', which --name overrules"),
        (frame(cfa="BGGR"), "the cfa RGGB and BGGR"),
        (frame(cfa=None), "the cfa RGGB and mono"),
        (frame(size=(6, 4)), "frames of 6 x 4 and 4 x 6 pixels"),
        (frame(black=60), "black levels of 64 and 60 DN at ISO 100"),
        (frame(white=4095), "white levels of 1023 and 4095 DN at ISO 100"),
    ],
)
def test_another_camera_is_refused(new: Frame, words: str) -> None:
    with pytest.raises(ValueError, match="out must be the profile of the camera that the new optics is of; found") as e:
        check(noise_of(frame()), new)
    assert words in str(e.value)


@pytest.mark.parametrize(
    "new",
    [
        frame(),
        frame(None),
        frame("BENCH Corporation bench One"),
        frame("One"),
        frame(black=None, white=None),
        frame(black=64.4),
        frame(iso=200, black=128, white=4095),
    ],
)
def test_the_same_camera_is_taken(new: Frame) -> None:
    check(noise_of(frame()), new)
    check(None, new)
    check(noise_of(frame(None)), frame("Nikon D850"))


def test_a_name_by_hand_overrules_names_alone() -> None:
    check(noise_of(frame()), frame("Nikon D850"), named=True)
    with pytest.raises(ValueError, match="the cfa RGGB and BGGR"):
        check(noise_of(frame()), frame("Nikon D850", "BGGR"), named=True)


def test_the_part_that_is_replaced_may_differ_but_for_its_camera() -> None:
    check(noise_of(frame()), frame(cfa="BGGR", size=(6, 4), black=60), part="noise")
    with pytest.raises(ValueError, match="'Bench One' and 'Nikon D850'"):
        check(noise_of(frame()), frame("Nikon D850"), part="noise")


def test_noise_is_compared_with_the_lens() -> None:
    lens = with_optics(None, "mine", FIELD, record("chart", NOTE, [frame()]))
    with pytest.raises(ValueError, match=r"the new noise is of; .* the cfa RGGB and BGGR"):
        check(lens, frame(cfa="BGGR"), part="noise")
    with pytest.raises(ValueError, match="'Bench One' and 'Nikon D850'"):
        check_belongs(lens, "noise", SeenCamera(name="Nikon D850"))
