"""The NoiseProfile tag of DNG files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from dirtypixels.calibrate.imports.dng import noise_profile

ONE = [2e-4, 1e-6]
THREE = [2e-4, 1e-6, 1e-4, 4e-6, 3e-4, 9e-6]


def write(
    folder: Path,
    profile: list[float] | None,
    iso: int | None = 400,
    name: str = "a.dng",
    camera: str = "Maker One",
    more: tuple[Any, ...] = (),
    below: bool = False,
) -> Path:
    """A DNG as far as its tags go; `below` puts the picture and its noise profile into a SubIFD, as converters do."""
    main: list[Any] = [(50706, 1, 4, bytes([1, 4, 0, 0]), True), (50708, 2, 0, camera, True), (272, 2, 0, camera, True)]
    main += [(34855, 3, 1, iso, True)] if iso is not None else []
    own = [(51041, 12, len(profile), profile, True)] if profile else []
    path = folder / name
    pixels = np.zeros((16, 16), np.uint16)
    with tifffile.TiffWriter(path) as tiff:
        if below:
            tiff.write(np.zeros((4, 4, 3), np.uint8), photometric="rgb", extratags=main, subifds=1, metadata=None)
        cfa = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes([0, 1, 1, 2]), True)]
        tags = [*cfa, *own, *more] + ([] if below else main)
        tiff.write(pixels, photometric=32803, extratags=tags, metadata=None)
    return path


class TestFigures:
    @pytest.mark.parametrize("below", [False, True])
    def test_one_pair_is_for_all_colors(self, tmp_path: Path, below: bool) -> None:
        found = noise_profile(write(tmp_path, ONE, below=below))
        assert found.iso.tolist() == [400]
        assert found.alpha.tolist() == [2e-4]
        assert found.sigma == pytest.approx(np.array([1e-3]))
        assert found.name == "Maker One"
        assert "a.dng" in found.source
        assert [f.kind for f in found.diagnostics] == ["not-measured"]

    def test_three_pairs_are_red_green_and_blue(self, tmp_path: Path) -> None:
        found = noise_profile(write(tmp_path, THREE))
        assert found.alpha.tolist() == [[2e-4, 1e-4, 3e-4]]
        assert found.sigma == pytest.approx(np.array([[1e-3, 2e-3, 3e-3]]))

    def test_planes_in_another_order(self, tmp_path: Path) -> None:
        planes = (50710, 1, 3, bytes([2, 0, 1]), True)  # blue, red, green
        found = noise_profile(write(tmp_path, THREE, more=(planes,)))
        assert found.alpha.tolist() == [[1e-4, 3e-4, 2e-4]]

    def test_several_gains_and_several_files_of_one(self, tmp_path: Path) -> None:
        files = [
            write(tmp_path, [4e-4, 4e-6], 800, "a.dng"),
            write(tmp_path, ONE, 400, "b.dng"),
            write(tmp_path, ONE, 400, "c.dng"),
        ]
        found = noise_profile(files)
        assert found.iso.tolist() == [400, 800]
        assert found.alpha.tolist() == [2e-4, 4e-4]
        assert found.sigma == pytest.approx(np.array([1e-3, 2e-3]))

    def test_a_folder_is_read_as_captures_are(self, tmp_path: Path) -> None:
        write(tmp_path, ONE, 400, "a.dng")
        write(tmp_path, ONE, None, "b.dng")
        (tmp_path / "captures.csv").write_text("file,iso,camera\na.dng,,\nb.dng,800,Maker One\n")
        (tmp_path / "notes.txt").write_text("cloudy")
        found = noise_profile(tmp_path)
        assert found.iso.tolist() == [400, 800]
        assert "a.dng, b.dng" in found.source

    def test_the_callers_iso_goes_before_the_files(self, tmp_path: Path) -> None:
        assert noise_profile(write(tmp_path, ONE, None), iso=200).iso.tolist() == [200]
        assert noise_profile(write(tmp_path, ONE, 400), iso=200).iso.tolist() == [200]
        with pytest.raises(ValueError, match="iso must be above 0; found -1"):
            noise_profile(write(tmp_path, ONE), iso=-1)

    def test_a_file_that_names_no_camera(self, tmp_path: Path) -> None:
        assert noise_profile(write(tmp_path, ONE, camera="")).name is None

    def test_noise_reduction_is_told(self, tmp_path: Path) -> None:
        reduced = write(tmp_path, ONE, more=((50935, 5, 1, (1, 2), True),))
        assert [f.kind for f in noise_profile(reduced).diagnostics] == ["not-measured", "noise-reduction"]
        unknown = write(tmp_path, ONE, name="b.dng", more=((50935, 5, 1, (0, 0), True),))
        assert [f.kind for f in noise_profile(unknown).diagnostics] == ["not-measured"]


class TestRaises:
    @pytest.mark.parametrize(
        ("profile", "message"),
        [
            (None, "it has no NoiseProfile tag: not every camera"),
            ([1e-4, 1e-6, 1e-4], "must hold 1 or 3 pairs of numbers; found 3 numbers"),
            ([1e-4, 1e-6] * 4, "must hold 1 or 3 pairs of numbers; found 8 numbers"),
            ([0.0, 1e-6], "must hold pairs S > 0, O >= 0; found"),
            ([1e-4, -1e-6], "must hold pairs S > 0, O >= 0; found"),
            ([float("nan"), 1e-6], "must hold pairs S > 0, O >= 0; found"),
        ],
    )
    def test_the_tag(self, tmp_path: Path, profile: list[float] | None, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            noise_profile(write(tmp_path, profile))

    def test_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no file"):
            noise_profile(tmp_path / "none.dng")
        with pytest.raises(ValueError, match="captures must be a folder or at least one file; found none"):
            noise_profile([])
        tifffile.imwrite(tmp_path / "a.tiff", np.zeros((4, 4), np.uint16))
        (tmp_path / "a.dng").write_bytes(b"nothing")
        for name in ("a.tiff", "a.dng"):
            with pytest.raises(ValueError, match="it is no DNG, or one whose tags cannot be read"):
                noise_profile(tmp_path / name)
        with pytest.raises(ValueError, match="states a noise profile, but no ISO that it holds for"):
            noise_profile(write(tmp_path, ONE, iso=None))
        with pytest.raises(
            ValueError, match=r"color planes must be red, green and blue \(0, 1, 2\); found \(3, 1, 2\)"
        ):
            noise_profile(write(tmp_path, THREE, more=((50710, 1, 3, bytes([3, 1, 2]), True),)))

    def test_files_that_do_not_fit(self, tmp_path: Path) -> None:
        first = write(tmp_path, ONE)
        with pytest.raises(ValueError, match=r"a\.dng' and '.*b\.dng' are of ISO 400 both and state different noise"):
            noise_profile([first, write(tmp_path, [3e-4, 1e-6], name="b.dng")])
        with pytest.raises(
            ValueError, match=r"files must be of one camera: '.*a\.dng' is of Maker One, '.*c\.dng' of Maker"
        ):
            noise_profile([first, write(tmp_path, ONE, 800, "c.dng", "Maker Two")])
        with pytest.raises(ValueError, match="must state noise for the same planes"):
            noise_profile([first, write(tmp_path, THREE, 800, "d.dng")])

    def test_a_real_file_without_it(self, shared_data: Path) -> None:
        with pytest.raises(ValueError, match=r"colorchart\.dng': it has no NoiseProfile tag"):
            noise_profile(shared_data / "raw" / "colorchart.dng")
