"""Frames sorted by exposure, and dark frames recognized whatever exposure time they state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.noise.curve import noise_curve
from dirtypixels.calibrate.noise.exposures import frame_sets, recognize_dark_frames
from dirtypixels.raw.frames import Frame

TIMES = (0.02, 0.06, 0.15, 0.3, 0.5, 0.7, 0.9)
#: What cameras write, and how long they expose.
NOMINAL = {1 / 1000: 1 / 1024, 1 / 500: 1 / 512, 1 / 250: 1 / 256, 1 / 125: 1 / 128, 1 / 60: 1 / 64, 1 / 30: 1 / 32}
STOPS = (1 / 60, 1 / 30, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


def frame(iso: float | None = 100.0, seconds: float | None = 0.01, **known: object) -> Frame:
    known = {"values": np.zeros((32, 32), np.uint16)} | known
    return Frame(iso=iso, exposure_s=seconds, **known)  # type: ignore[arg-type]


def test_frames_are_grouped_by_gain_time_and_light_in_order() -> None:
    frames = [
        frame(400, 0.02),
        frame(100, 0.02),
        frame(100, 0.01),
        frame(100, 0.02),
        frame(400, 0.02),
        frame(100, 0.01),
    ]
    found, diagnostics = frame_sets(frames)
    assert [(e.iso, e.exposure_s, len(e.frames)) for e in found] == [(100, 0.01, 2), (100, 0.02, 2), (400, 0.02, 2)]
    assert found[0].frames == (frames[2], frames[5])
    assert not diagnostics
    bright, _ = frame_sets([frame()] * 4, illuminance=[1, 1, 3, 3])
    assert [e.exposure for e in bright] == [0.01, 0.03]


def test_dark_frames_are_those_of_no_time_or_no_light() -> None:
    found, _ = frame_sets([frame(seconds=0.0)] * 2 + [frame()] * 4, illuminance=[1, 1, 0, 0, 1, 1])
    assert [e.dark for e in found] == [True, True, False]
    assert [e.exposure for e in found] == [0.0, 0.0, 0.01]
    assert found[1].name == "ISO 100, 0.01 s, dark"


def test_a_frame_that_is_alone_is_left_out_with_a_warning() -> None:
    found, (diagnostic,) = frame_sets([frame(seconds=0.01)] * 2 + [frame(seconds=0.02)])
    assert len(found) == 1
    assert diagnostic.severity == "warning"
    assert "0.02 s" in diagnostic.message
    assert "twice" in diagnostic.message


def test_raises_without_pairs() -> None:
    with pytest.raises(ValueError, match=r"at least two frames of each exposure.*3 exposures.*--from single-image"):
        frame_sets([frame(seconds=t) for t in (0.01, 0.02, 0.03)])


def test_raises_on_other_input() -> None:
    with pytest.raises(ValueError, match="found none"):
        frame_sets([])
    with pytest.raises(TypeError, match=r"captures must be a folder, or Frames; found ndarray"):
        noise_curve([np.zeros((4, 4))])  # type: ignore[list-item]
    for light in ([1.0], [1.0, -1.0], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="illuminance must be 2 finite numbers"):
            noise_curve([frame()] * 2, illuminance=light)


def test_raises_on_mixed_captures() -> None:
    with pytest.raises(ValueError, match=r"one camera.*A.*B"):
        frame_sets([frame(camera="A"), frame(camera="B")])
    with pytest.raises(ValueError, match=r"32 x 32.*16 x 32"):
        frame_sets([frame(), replace(frame(), values=np.zeros((32, 16), np.uint16))])
    with pytest.raises(ValueError, match="all say their ISO, or none"):
        frame_sets([frame(), frame(iso=None)])
    with pytest.raises(ValueError, match="all say their exposure time, or none"):
        frame_sets([frame(), frame(seconds=None)])


class TestUnknownExposureTimes:
    @staticmethod
    def frames(*levels: float) -> list[Frame]:
        random = np.random.default_rng(0)
        return [
            frame(
                seconds=None,
                values=(256 + level + 4 * random.standard_normal((32, 32))).astype(np.uint16),
                black=(256.0,) * 4,
                white=4095.0,
                path=Path(f"{i}.tiff"),
            )
            for i, level in enumerate(levels)
        ]

    def test_raises_on_frames_of_several_exposures(self) -> None:
        message = (
            r"must state exposure_s \(in captures\.csv, see docs/calibrate\.md\).* none in 1\.tiff.* in [23]\.tiff"
        )
        with pytest.raises(ValueError, match=message):
            frame_sets(self.frames(800, 100, 1600, 1600))
        with pytest.raises(ValueError, match="must state exposure_s"):
            frame_sets(self.frames(0, 0, 900, 900))

    @pytest.mark.parametrize("levels", [(800, 800), (800, 1000), (0, 0), (5, 0)])
    def test_frames_of_one_exposure_are_one(self, levels: tuple[float, ...]) -> None:
        assert len(frame_sets(self.frames(*levels))[0]) == 1

    def test_frames_of_several_lights_are_told_by_them(self) -> None:
        found, _ = frame_sets(self.frames(800, 800, 100, 100), illuminance=[8, 8, 1, 1])
        assert len(found) == 2


def nominal(known: Any, times: Sequence[float], **stated: Any) -> list[Frame]:
    """Pairs whose stated times are rounded as cameras do it."""
    return [
        replace(known.frame(100, NOMINAL.get(t, t), **stated), exposure_s=t, path=Path(f"lit-{t:g}-{i}.dng"))
        for t in times
        for i in range(2)
    ]


def dark_frames(known: Any, seconds: float, iso: float = 100, **stated: Any) -> list[Frame]:
    return [replace(known.frame(iso, seconds, 0.0, **stated), path=Path(f"cap-{i}.dng")) for i in range(2)]


def recognized(frames: Sequence[Frame]) -> set[str]:
    illuminance, diagnostics = recognize_dark_frames(frames, [1.0] * len(frames))
    found = {frame.name for frame, light in zip(frames, illuminance, strict=True) if light == 0}
    assert len(diagnostics) == bool(found)
    assert all(name in diagnostics[0].message for name in found)
    return found


class TestRecognizedDarkFrames:
    @pytest.mark.parametrize("cfa", [None, "RGGB"])
    @pytest.mark.parametrize("seconds", [0.004, 0.02, 0.15, 5.0])
    def test_of_any_exposure_time(self, sensor: type, cfa: str | None, seconds: float) -> None:
        known = sensor(cfa=cfa)
        assert recognized(known.pairs(100, TIMES) + dark_frames(known, seconds)) == {"cap-0.dng", "cap-1.dng"}

    @pytest.mark.parametrize("seconds", [1 / 500, 1 / 60, 1 / 2])
    def test_among_rounded_exposure_times(self, sensor: type, seconds: float) -> None:
        known = sensor(shape=(128, 128))
        assert recognized(nominal(known, STOPS) + dark_frames(known, seconds)) == {"cap-0.dng", "cap-1.dng"}

    def test_next_to_one_lit_exposure(self, sensor: type) -> None:
        known = sensor(shape=(128, 128))
        for seconds in (0.01, 0.5):
            assert len(recognized(known.pairs(100, (0.5,)) + dark_frames(known, seconds))) == 2
        unknown = known.pairs(100, (0.5,), black=None) + dark_frames(known, 0.5, black=None)
        assert len(recognized(unknown)) == 2

    def test_though_another_black_level_is_stated(self, sensor: type) -> None:
        known = sensor(cfa=None)
        frames = known.pairs(100, TIMES, black=(64.0,) * 4) + dark_frames(known, 0.02, black=(64.0,) * 4)
        curve = noise_curve(frames)
        assert "black level 64 DN is stated, 25" in curve.reason
        assert curve.black[100, "Y"].source == "dark frames"

    def test_by_gain(self, sensor: type) -> None:
        known = sensor(cfa=None)
        frames = known.pairs(100, TIMES) + known.pairs(800, [t / 8 for t in TIMES]) + dark_frames(known, 0.02, 800)
        assert recognized(frames) == {"cap-0.dng", "cap-1.dng"}
        exposures, (diagnostic,) = frame_sets(frames)
        assert [(e.iso, e.exposure_s) for e in exposures if e.dark] == [(800, 0.02)]
        assert diagnostic.severity == "note"
        assert diagnostic.message.startswith("ISO 800: 2 frames taken as dark")
        assert "0.02 s" in diagnostic.message


class TestNotTakenForDarkFrames:
    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize(
        "times", [(1 / 1000, 1 / 500, 1 / 250, 1 / 125, *STOPS), (1 / 8000, *STOPS), (1 / 1000, 1 / 2), (1 / 500, 1.0)]
    )
    def test_short_exposures(self, sensor: type, times: Sequence[float], seed: int) -> None:
        assert not recognized(nominal(sensor(seed=seed, shape=(128, 128)), times))

    @pytest.mark.parametrize("black", [64.0, 250.0, 262.0, 300.0, None])
    def test_short_exposures_though_the_black_level_is_wrong_or_unknown(
        self, sensor: type, black: float | None
    ) -> None:
        stated = None if black is None else (black,) * 4
        assert not recognized(nominal(sensor(shape=(128, 128)), (1 / 1000, 1 / 250, *STOPS), black=stated))

    def test_a_response_that_bends(self, sensor: type) -> None:
        for gamma in (1 / 2.2, 1.2):
            assert not recognized(sensor(gamma=gamma, cfa=None, black=(0.0,) * 4).pairs(100, TIMES))

    def test_a_dark_scene_with_a_lamp_in_it(self, sensor: type) -> None:
        known = sensor(cfa=None)
        scene = np.full((256, 256), 0.001)
        scene[64:160, 64:160] = 0.5
        frames = known.pairs(100, TIMES) + [known.frame(100, 0.5, scene=scene) for _ in range(2)]
        assert not recognized(frames)

    def test_frames_of_unknown_time_or_white(self, sensor: type) -> None:
        known = sensor(cfa=None)
        frames = known.pairs(100, TIMES) + dark_frames(known, 0.02)
        assert not recognized([replace(f, exposure_s=None) for f in frames])
        assert not recognized([replace(f, white=None) for f in frames])


class TestMeasuredWithRecognizedDarkFrames:
    @pytest.mark.parametrize("seconds", [0.01, 0.15])
    def test_the_curve_is_that_of_dark_frames(self, sensor: type, seconds: float) -> None:
        """Before, 0.01 s moved black to 222 DN, and 0.15 s was a drift of 100 %."""
        known = sensor(cfa=None)
        curve = noise_curve(known.pairs(100, TIMES) + dark_frames(known, seconds))
        assert curve.passed, curve.reason
        black = curve.black[100, "Y"]
        assert (black.value, black.source) == (256, "dark frames")
        estimate = curve.estimates[100, "Y"]
        assert estimate.sigma_interval[0] < known.sigma < estimate.sigma_interval[1]
        assert "dark-recognized" in [f.kind for f in curve.diagnostics]

    def test_dark_frames_given_apart_are_dark_as_before(self, sensor: type) -> None:
        known = sensor(cfa=None)
        curve = noise_curve(known.pairs(100, TIMES) + dark_frames(known, 0.15), dark_frames=dark_frames(known, 0.15))
        assert curve.passed, curve.reason
        assert curve.black[100, "Y"].source == "dark frames"
