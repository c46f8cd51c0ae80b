"""darktable's noise profiles, as installed on the user's machine."""

from __future__ import annotations

import difflib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dirtypixels import checks
from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.profile import ImportedCurve
from dirtypixels.raw.agreement import plain_name

FILE = "noiseprofiles.json"

_COLORS = ("red", "green", "blue")

_DEMOSAICKED = (
    "darktable measured this on the demosaicked picture, in the finest Haar coefficients: scaled as there, their "
    "variance is a quarter of that of samples, and interpolation, which averages neighbors, takes more. Against raw "
    "calibrations of four cameras (Wei et al. 2020) alpha is 1.9 to 12 times too low, 6 in the middle, and sigma 1 "
    "to 5.7 times, 2.4 in the middle. This shows how noise grows with ISO; raw noise itself is measured on raw files"
)


def darktable(camera: str, path: str | Path | None = None, *, channels: Literal["RGB", "G"] = "RGB") -> ImportedCurve:
    """Noise of a camera from darktable's `noiseprofiles.json`.

    ``variance = a x + b`` per gain and channel, x in [0, 1]; so alpha = a and sigma = sqrt(b), unchanged.

    Where the fit gave b < 0, sigma is 0 and a diagnostic says so: alpha is still of use, noise in the dark is too low.
    A gain without a > 0 in one of the channels was not measured in it and is left out, with a diagnostic. Of gains that
    occur more than once the median is taken. Entries that darktable itself skips are left out.

    Args:
        camera: maker and model, as "Canon EOS 5D Mark IV" or as EXIF has them.
        path: the file; None looks where darktable installs it.
        channels: "RGB" for three channels, "G" for green, which is all that darktable itself uses of a profile.

    Raises:
        FileNotFoundError: no such file, or darktable's is not found.
        ValueError: the file is not darktable's, does not hold the camera (the closest names are given), or no gain
            was measured in all channels.

    Source: darktable, tools/noise/noiseprofile.c (how it is measured) and src/common/noiseprofiles.c (the file).

    >>> from tempfile import TemporaryDirectory
    >>> profiles = [{"iso": iso, "a": [1e-6 * iso] * 3, "b": [1e-8 * iso] * 3} for iso in (100, 200)]
    >>> models = [{"model": "One", "profiles": profiles}]
    >>> with TemporaryDirectory() as folder:  # without a path, darktable's own file is read
    ...     path = Path(folder, "noiseprofiles.json")
    ...     content = {"version": 0, "noiseprofiles": [{"maker": "Maker", "models": models}]}
    ...     count = path.write_text(json.dumps(content))
    ...     darktable("Maker One", path)
    ImportedCurve(2 gains, ISO 100 to 200)
    """
    checks.one_of("channels", channels, ("RGB", "G"))
    file = installed() if path is None else Path(path)
    cameras = _read(file)
    name = _name_in(cameras, camera, file)
    entries = cameras[name]
    of_gain: dict[float, list[Any]] = defaultdict(list)
    for entry in entries:
        if not entry.get("skip"):
            of_gain[float(entry["iso"])].append((entry["a"], entry["b"]))
    if not of_gain:
        raise ValueError(f"{str(file)!r} has no entry for {name!r} that darktable does not skip")
    diagnostics = [Diagnostic("demosaicked", "warning", _DEMOSAICKED)]
    if count := len(entries) - sum(map(len, of_gain.values())):
        text = f"{count} of {len(entries)} entries are left out, as darktable does"
        diagnostics.append(Diagnostic("skipped", "note", text))
    iso = np.array(sorted(of_gain))
    if several := [gain for gain in iso if len(of_gain[gain]) > 1]:
        text = f"{len(several)} gains were measured more than once, and the median is taken: {_listed(several)}"
        diagnostics.append(Diagnostic("repeated", "note", text))
    chosen = slice(None) if channels == "RGB" else slice(1, 2)
    colors = _COLORS[chosen]
    a, b = np.stack([np.median(of_gain[gain], axis=0)[:, chosen] for gain in iso], axis=1)

    measured = (a > 0).all(axis=1)
    if not measured.all():
        bad = [color for color, figures in zip(colors, a.T, strict=True) if (figures <= 0).any()]
        where = f"{_listed(iso[~measured])}: a of {' and '.join(bad)} is not above 0, so nothing was measured there"
        if not measured.any():
            other = '; channels="G" takes green for all' if channels == "RGB" and (a[:, 1] > 0).any() else ""
            raise ValueError(f"{str(file)!r} has no gain of {name!r} with all channels{other}. {where}")
        diagnostics.append(
            Diagnostic("not-measured", "warning", f"{int((~measured).sum())} gains are left out, {where}")
        )
    iso, a, b = iso[measured], a[measured], b[measured]
    if (b < 0).any():
        of = ", ".join(f"{int(n)} of {iso.size} in {c}" for c, n in zip(colors, (b < 0).sum(axis=0), strict=True) if n)
        text = f"the fit gave a negative variance in the dark for {of}: sigma is 0 there, which is too low"
        diagnostics.append(Diagnostic("negative-variance", "warning", f"{text} ({_listed(iso[(b < 0).any(axis=1)])})"))
    source = (
        f"darktable's noise profile of {name!r} (a x + b per gain and channel, {', '.join(colors)}) from {file}; "
        "measured on the demosaicked picture, too low for raw samples; alpha = a, sigma = sqrt(b)"
    )
    return ImportedCurve(name, iso, a, np.sqrt(np.maximum(b, 0.0)), source, tuple(diagnostics))


def installed() -> Path:
    """Where darktable's noise profiles are on this machine.

    Raises:
        FileNotFoundError: they are in none of the places where darktable's packages put them.
    """
    places = _places()
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"found no {FILE} of darktable: install darktable, or give the path (--file); looked for "
        f"{', '.join(map(str, places))}"
    )


def _places() -> list[Path]:
    below = Path("share", "darktable", FILE)
    flatpak = Path("app/org.darktable.Darktable/current/active/files")
    mac = Path("darktable.app/Contents/Resources")
    program, windows = shutil.which("darktable"), os.environ.get("PROGRAMFILES")
    roots = [Path(program).resolve().parents[1]] if program else []
    roots += [Path(root) for root in ("/usr", "/usr/local", "/opt/darktable", "/opt/homebrew", "/opt/local")]
    roots += [Path("/var/lib/flatpak") / flatpak, Path.home() / ".local/share/flatpak" / flatpak]
    roots += [Path("/snap/darktable/current/usr"), Path("/Applications") / mac, Path.home() / "Applications" / mac]
    roots += [Path(windows) / "darktable"] if windows else []
    return [root / below for root in dict.fromkeys(roots)]


def _read(file: Path) -> dict[str, list[dict[str, Any]]]:
    """Profiles by camera, "maker model"."""
    if not file.is_file():
        raise FileNotFoundError(f"no file {str(file)!r}")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["version"] != 0:
            raise ValueError(f"version must be 0, the only one so far; found {content['version']!r}")
        return {
            f"{maker['maker']} {model['model']}": [_checked(profile) for profile in model["profiles"]]
            for maker in content["noiseprofiles"]
            for model in maker["models"]
        }
    except (ValueError, KeyError, TypeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{str(file)!r} is not a noise profile file of darktable: {what}") from error


def _checked(profile: dict[str, Any]) -> dict[str, Any]:
    figures = [profile["iso"], *profile["a"], *profile["b"]]
    if len(profile["a"]) != 3 or len(profile["b"]) != 3 or not np.isfinite(np.array(figures, dtype=float)).all():
        raise ValueError(f"a and b of an entry must be 3 finite numbers; found {profile}")
    if profile["iso"] <= 0:
        raise ValueError(f"iso of an entry must be above 0; found {profile['iso']}")
    return profile


def _name_in(cameras: Iterable[str], camera: str, file: Path) -> str:
    """The camera's name in the file."""
    plain = {plain_name(name): name for name in cameras}
    wanted = plain_name(camera)
    # a model is enough where only one maker has it
    named = [wanted] if wanted in plain else [key for key in plain if key.split(" ", 1)[-1] == wanted]
    if len(named) != 1:
        close = ", ".join(repr(plain[key]) for key in difflib.get_close_matches(wanted, plain, n=5, cutoff=0.5))
        hint = f"; the closest are {close}" if close else ""
        raise ValueError(f"{str(file)!r} has no camera {camera!r} among its {len(plain)}{hint}")
    return plain[named[0]]


def _listed(iso: Iterable[float]) -> str:
    return "ISO " + ", ".join(f"{gain:g}" for gain in iso)
