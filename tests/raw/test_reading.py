"""Frames from files: what comes back, what the file's own figures become, and what is refused with which reason."""

from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from dirtypixels.raw.frames import CFA_PATTERNS
from dirtypixels.raw.reading import as_digital_numbers, read_frame, read_npy, read_png, read_tiff

BYTE, TEXT, SHORT, LONG, RATIO = 1, 2, 3, 4, 5
LEVELS = {50714: (SHORT, [64]), 50717: (SHORT, [4095])}
X_TRANS = "GGRGGBGGBGGRBRGRBGGGBGGRGGRGGBRBGBRG"

Samples = npt.NDArray[np.uint16]


class TestSensorFile:
    def test_values_levels_and_gain_come_back(self, write_dng: Any, mosaic: Samples) -> None:
        exif = {33434: (RATIO, [1, 50]), 33437: (RATIO, [28, 10]), 34855: (SHORT, [400])}
        path = write_dng("a.dng", mosaic, tags=LEVELS, exif=exif)
        found = read_frame(path)
        assert np.array_equal(found.values, mosaic)
        assert found.values.dtype == np.uint16
        assert (found.cfa, found.black, found.white) == ("RGGB", (64.0,) * 4, 4095.0)
        assert (found.iso, found.exposure_s, found.camera) == (400.0, 0.02, "Maker One")
        assert (found.path, found.sha256) == (path, sha256(path.read_bytes()).hexdigest())
        assert found.exif["FNumber"] == "2.8"

    @pytest.mark.parametrize("cfa", CFA_PATTERNS)
    def test_pattern_and_black_levels_keep_their_places(self, write_dng: Any, mosaic: Samples, cfa: str) -> None:
        levels = {50713: (SHORT, [2, 2]), 50714: (RATIO, [241, 4, 61, 1, 62, 1, 63, 1])}
        found = read_frame(write_dng("a.dng", mosaic, cfa, tags=LEVELS | levels))
        assert found.cfa == cfa
        assert found.black == (60.25, 61.0, 62.0, 63.0)

    @pytest.mark.parametrize("area", [(2, 2, 58, 78), (1, 2, 59, 77), (2, 1, 58, 77), (1, 1, 60, 80), (0, 0, 59, 79)])
    def test_of_a_cropped_picture_each_sample_keeps_its_color_and_level(
        self, write_dng: Any, mosaic: Samples, area: tuple[int, int, int, int]
    ) -> None:
        # in a DNG pattern and levels begin at the active area, wherever it lies
        levels = {50713: (SHORT, [2, 2]), 50714: (SHORT, [60, 61, 62, 63]), 50829: (LONG, list(area))}
        found = read_frame(write_dng("a.dng", mosaic, "RGGB", tags=LEVELS | levels))
        height, width = found.values.shape
        at = np.argwhere(
            (np.lib.stride_tricks.sliding_window_view(mosaic, (height, width)) == found.values).all((2, 3))
        )
        assert len(at) == 1
        top, left = at[0] - area[:2]
        assert height % 2 == width % 2 == 0
        assert height >= area[2] - area[0] - 2
        assert width >= area[3] - area[1] - 2
        places = [(top + i // 2) % 2 * 2 + (left + i % 2) % 2 for i in range(4)]
        assert found.cfa == "".join("RGGB"[place] for place in places)
        assert found.black == tuple(60.0 + place for place in places)

    def test_a_monochrome_file_has_no_pattern_and_may_be_odd(self, write_dng: Any, mosaic: Samples) -> None:
        found = read_frame(write_dng("a.dng", mosaic[:59, :77], tags=LEVELS, photometric=34892))
        assert found.cfa is None
        assert found.black == (64.0,) * 4
        assert np.array_equal(found.values, mosaic[:59, :77])

    @pytest.mark.parametrize(
        "exif",
        [None, {34855: (SHORT, [0]), 33434: (RATIO, [0, 1000000])}, {34855: (SHORT, [0]), 33434: (RATIO, [1, 0])}],
    )
    def test_0_means_unknown(self, write_dng: Any, mosaic: Samples, exif: Any) -> None:
        found = read_frame(write_dng("a.dng", mosaic, tags=LEVELS, exif=exif))
        assert found.iso is None
        assert found.exposure_s is None

    def test_a_gain_above_16_bits_comes_from_the_next_field(self, write_dng: Any, mosaic: Samples) -> None:
        exif = {34855: (SHORT, [65535]), 34866: (LONG, [102400])}
        assert read_frame(write_dng("a.dng", mosaic, tags=LEVELS, exif=exif)).iso == 102400

    def test_gain_and_exposure_may_stand_in_the_first_directory(self, write_dng: Any, mosaic: Samples) -> None:
        tags = {34855: (SHORT, [800]), 33434: (RATIO, [1, 4])}
        found = read_frame(write_dng("a.dng", mosaic, tags=LEVELS | tags))
        assert (found.iso, found.exposure_s) == (800.0, 0.25)

    def test_overrides_go_before_the_file(self, write_dng: Any, mosaic: Samples) -> None:
        path = write_dng("a.dng", mosaic, tags=LEVELS, exif={34855: (SHORT, [400])})
        found = read_frame(path, cfa="GBRG", black=70, white=4000, iso=100, exposure_s=0, camera="mine")
        assert (found.cfa, found.black, found.white) == ("GBRG", (70.0,) * 4, 4000.0)
        assert (found.iso, found.exposure_s, found.camera) == (100, 0, "mine")
        assert read_frame(path, cfa="mono").cfa is None
        assert read_frame(path, iso=None).iso == 400
        assert read_frame(path, black=[1, 2, 3, 4]).black == (1, 2, 3, 4)

    def test_a_level_of_the_file_that_cannot_be_is_mended_by_an_override(self, write_dng: Any, mosaic: Samples) -> None:
        path = write_dng("a.dng", mosaic, tags={50714: (SHORT, [5000]), 50717: (SHORT, [4095])})
        with pytest.raises(ValueError, match="black must be below white 4095; found 5000"):
            read_frame(path)
        assert read_frame(path, black=64).black == (64.0,) * 4

    def test_a_real_file(self, shared_data: Path) -> None:
        found = read_frame(shared_data / "raw" / "colorchart.dng")
        assert found.values.shape == (1156, 1734)
        assert (found.cfa, found.black, found.white) == ("RGGB", (2056.0,) * 4, 15000.0)
        assert (found.iso, found.exposure_s) == (None, None)  # Magic Lantern writes 0 and 0/1000000
        assert found.camera == "Canon EOS Kiss X4"
        assert (found.values.min(), found.values.max()) == (1958, 12128)


class TestSensorFileRaises:
    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (
                {"pattern": X_TRANS, "pattern_size": (6, 6)},
                r"must be a Bayer pattern.*found a 6 x 6 pattern \(Fujifilm X-Tr",
            ),
            ({"photometric": 34892, "planes": 3}, "holds three values a pixel .a linear DNG"),
        ],
    )
    def test_no_bayer_pattern(self, write_dng: Any, mosaic: Samples, more: dict[str, Any], message: str) -> None:
        planes = more.pop("planes", 1)
        values = mosaic if planes == 1 else np.stack([mosaic] * planes, axis=-1)
        path = write_dng("a.dng", values, tags=LEVELS, **more)
        with pytest.raises(ValueError, match=message):
            read_frame(path)

    def test_truncated(self, write_dng: Any, mosaic: Samples, tmp_path: Path) -> None:
        # the directory comes first here, as in most raw files, so that the file opens and its samples are missing
        whole = write_dng("a.dng", mosaic, tags=LEVELS).read_bytes()
        data, directory = whole[8 : 8 + mosaic.nbytes], whole[8 + mosaic.nbytes :]
        moved = write_dng("b.dng", mosaic, tags=LEVELS | {273: (LONG, [8 + len(directory)])}).read_bytes()
        directory = _moved(moved[8 + mosaic.nbytes :], -mosaic.nbytes)
        path = tmp_path / "cut.dng"
        path.write_bytes(b"II*\0\x08\0\0\0" + directory + data)
        assert np.array_equal(read_frame(path).values, mosaic)
        path.write_bytes((b"II*\0\x08\0\0\0" + directory + data)[:-4000])
        with pytest.raises(ValueError, match="it is damaged or incomplete: LibRaw says"):
            read_frame(path)

    @pytest.mark.parametrize("content", [b"no picture at all" * 50, b"II*\0\xff\xff\0\0"])
    def test_something_else(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "a.nef"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.nef' cannot be taken as a raw frame: it is (neither|damaged)"):
            read_frame(path)


def _moved(directory: bytes, by: int) -> bytes:
    """A directory with the offsets of what lies behind it shifted."""
    entries = bytearray(directory)
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 12: 8}
    for i in range(int.from_bytes(entries[:2], "little")):
        at = 2 + 12 * i
        kind, count = (
            int.from_bytes(entries[at + 2 : at + 4], "little"),
            int.from_bytes(entries[at + 4 : at + 8], "little"),
        )
        if sizes[kind] * count > 4:
            offset = int.from_bytes(entries[at + 8 : at + 12], "little")
            entries[at + 8 : at + 12] = (offset + by).to_bytes(4, "little")
    return bytes(entries)


class TestPicture:
    @pytest.mark.parametrize("suffix", [".png", ".tiff", ".TIF", ".npy"])
    def test_16_bits_come_back(self, tmp_path: Path, mosaic: Samples, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        if suffix == ".png":
            Image.fromarray(mosaic).save(path)
        elif suffix == ".npy":
            np.save(path, mosaic)
        else:
            tifffile.imwrite(path, mosaic)
        found = read_frame(path, black=64, white=4095, cfa="GRBG")
        assert np.array_equal(found.values, mosaic)
        assert found.values.dtype == np.uint16
        assert (found.cfa, found.black, found.white) == ("GRBG", (64.0,) * 4, 4095.0)
        assert read_frame(path).cfa is None
        assert read_frame(path).black is None

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (np.array([[0, 65535]], np.int64), np.uint16),
            (np.array([[0, 70000]], np.uint32), np.float32),
            (np.array([[-5, 3]], np.int16), np.float32),
            (np.array([[0.5, 3]], np.float64), np.float32),
            (np.array([[1, 255]], np.uint8), np.uint16),
            (np.array([[1, 4095]], ">u2"), np.uint16),
        ],
    )
    def test_numbers_of_other_types_keep_their_value(self, tmp_path: Path, given: Any, expected: Any) -> None:
        np.save(tmp_path / "a.npy", given)
        found = read_frame(tmp_path / "a.npy").values
        assert found.dtype == expected
        assert np.array_equal(found, given)

    def test_floats_in_tiff_come_back(self, tmp_path: Path) -> None:
        values = np.array([[0.5, 100.25]], np.float32)
        tifffile.imwrite(tmp_path / "a.tiff", values)
        assert np.array_equal(read_frame(tmp_path / "a.tiff").values, values)

    def test_a_dng_named_tiff_is_read_as_a_dng(self, write_dng: Any, mosaic: Samples) -> None:
        assert read_frame(write_dng("a.tif", mosaic, tags=LEVELS)).cfa == "RGGB"

    def test_a_tiff_tells_its_gain(self, tmp_path: Path, mosaic: Samples) -> None:
        tifffile.imwrite(tmp_path / "a.tiff", mosaic, extratags=[(34855, 3, 1, 200, True), (271, 2, 0, "Maker", True)])
        found = read_frame(tmp_path / "a.tiff")
        assert (found.iso, found.camera) == (200, "Maker")

    def test_a_real_file(self, shared_data: Path) -> None:
        found = read_frame(shared_data / "emva1288_ccd" / "images" / "b_000_snap_001.png", white=4095)
        assert found.values.shape == (480, 640)
        assert (found.values.min(), found.values.max()) == (12, 48)


def _jpeg() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


class TestPictureRaises:
    @pytest.mark.parametrize("name", ["a.jpg", "a.dng", "a.png"])
    def test_a_jpeg_by_any_name(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(_jpeg())
        with pytest.raises(ValueError, match="it is a JPEG: a raw frame has 10 to 16 bits, linear to light"):
            read_frame(tmp_path / name)

    @pytest.mark.parametrize(
        ("mode", "message"),
        [
            ("L", "a PNG of 8 bits: a raw frame"),
            ("1", "a PNG of 1 bits"),
            ("RGB", r"with colors \(RGB\): a frame has one"),
            ("P", r"with colors \(P\)"),
            ("LA", r"with colors \(LA\)"),
        ],
    )
    def test_a_png_of_8_bits_or_with_colors(self, tmp_path: Path, mode: str, message: str) -> None:
        Image.new(mode, (8, 8)).save(tmp_path / "a.png")
        with pytest.raises(ValueError, match=message):
            read_frame(tmp_path / "a.png")

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (np.zeros((8, 8), np.uint8), "a TIFF of 8 bits: a raw frame"),
            (np.zeros((8, 8, 3), np.uint16), r"has the shape \(8, 8, 3\): a frame has one value a pixel"),
            (np.zeros((5, 8, 8), np.uint16), "holds 5 pictures; a frame is a file with one"),
            (np.zeros((8, 8), np.complex64), "values must be whole numbers or floats; found complex64"),
            (np.full((8, 8), np.inf, np.float32), "values must be finite; found 64 NaN or infinite of 64"),
        ],
    )
    def test_a_tiff(self, tmp_path: Path, values: npt.NDArray[Any], message: str) -> None:
        rgb = values.shape[-1] == 3
        tifffile.imwrite(tmp_path / "a.tiff", values, photometric="rgb" if rgb else "minisblack")
        with pytest.raises(ValueError, match=message):
            read_frame(tmp_path / "a.tiff")

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (np.zeros((8, 8, 3)), r"has the shape \(8, 8, 3\): a frame has one value a pixel"),
            (np.zeros((5, 8, 8)), r"must hold one frame, \(H, W\); found the shape \(5, 8, 8\)"),
            (np.zeros((0, 8)), r"values must have shape \(H, W\), neither 0"),
            (np.zeros((8, 8), bool), "whole numbers or floats; found bool"),
            (np.full((8, 8), np.nan), "values must be finite; found 64 NaN"),
            (np.full((8, 8), 2**24 + 1), r"at most 2\^24 in size; found 16777217"),
            (np.array([{"a": 1}], dtype=object), "no array that can be read: Object arrays cannot be loaded"),
        ],
    )
    def test_an_array(self, tmp_path: Path, values: npt.NDArray[Any], message: str) -> None:
        np.save(tmp_path / "a.npy", values)
        with pytest.raises(ValueError, match=message):
            read_frame(tmp_path / "a.npy")

    @pytest.mark.parametrize("suffix", [".png", ".tiff", ".npy"])
    def test_truncated(self, tmp_path: Path, mosaic: Samples, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        if suffix == ".png":
            Image.fromarray(mosaic).save(path)
        elif suffix == ".npy":
            np.save(path, mosaic)
        else:
            tifffile.imwrite(path, mosaic)
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(ValueError, match=r"a\.\w+' cannot be taken as a raw frame: it is (damaged|no array)"):
            read_frame(path)

    def test_empty_missing_or_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a.dng").touch()
        with pytest.raises(ValueError, match="it is empty"):
            read_frame(tmp_path / "a.dng")
        with pytest.raises(FileNotFoundError, match=r"no file '.*b\.dng'"):
            read_frame(tmp_path / "b.dng")
        with pytest.raises(ValueError, match="is a folder; a frame is one file"):
            read_frame(tmp_path)

    def test_an_override_that_does_not_fit(self, tmp_path: Path, mosaic: Samples) -> None:
        np.save(tmp_path / "a.npy", mosaic[:-1])
        path = tmp_path / "a.npy"
        with pytest.raises(TypeError, match=r"overrides must be some of cfa, black, .*; found gain, lux"):
            read_frame(path, lux=3, gain=2)  # type: ignore[call-arg]
        with pytest.raises(ValueError, match="cfa must be one of RGGB, BGGR, GRBG, GBRG, mono; found 'rggb'"):
            read_frame(path, cfa="rggb")
        with pytest.raises(ValueError, match="black must be one number, or four in reading order; found 3"):
            read_frame(path, black=[1, 2, 3])
        with pytest.raises(ValueError, match="even height and width where there is a cfa; found 59 x 80"):
            read_frame(path, cfa="RGGB")
        with pytest.raises(ValueError, match="iso must be above 0"):
            read_frame(path, iso=0)


READERS = {".png": read_png, ".tiff": read_tiff, ".npy": read_npy}


@pytest.mark.parametrize("suffix", READERS)
def test_changed_bytes_of_pictures_give_values_or_one_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    values = np.random.default_rng(0).integers(0, 4096, (9, 7)).astype(np.uint16)
    if suffix == ".png":
        Image.fromarray(values).save(path)
    elif suffix == ".npy":
        np.save(path, values)
    else:
        tifffile.imwrite(path, values, compression="zlib")
    content, draw, refused = path.read_bytes(), Random(1), 0
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(draw.randint(1, 3)):
            changed[draw.randrange(min(len(changed), 300))] = draw.randrange(256)
        path.write_bytes(changed)
        try:
            as_digital_numbers(READERS[suffix](path))
        except ValueError:
            refused += 1
    assert refused > 30
