"""ELD's calibrated noise parameters of five cameras, from files with a pickle that can build figures and no more."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels import checks
from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.profile import ImportedCurve

#: white level less black level in DN that ELD takes for all of its cameras, at 14 bits
RANGE_DN = 16383.0 - 800.0


def eld(
    path: str | Path,
    *,
    base_iso: float | None = None,
    range_dn: float | None = None,
    iso: npt.ArrayLike | None = None,
    profile: str = "Profile-1",
) -> ImportedCurve:
    """Noise of a camera from one of ELD's files, `NAME_params.npy`, none of whose pickle's calls is made.

    ``alpha = K / range_dn``, ``sigma = exp(slope * log K + bias) / range_dn``

    with the system gain K in DN per electron and the file's log-linear fit of the Gaussian read noise in DN over it.
    The files know no ISO: K is taken as proportional to it, from K_min at `base_iso` to K_max.

    Args:
        path: the file.
        base_iso: ISO of the file's smallest gain. It must be given; for ELD's five cameras K_max is 64 K_min, which
            fits ISO 100 to 6400.
        range_dn: white level less black level in DN; None takes 15583, as ELD's own training code does for all its
            cameras, and a diagnostic says so.
        iso: (N,) gains to take, increasing and within the file's range; None takes full stops from `base_iso`.
        profile: which fit of the file; ELD's own code reads "Profile-1".

    Returns:
        One channel, for all colors; diagnostics say what the file has that a Poisson-Gaussian model has not.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not ELD's or holds more than figures, there is no such profile, or an argument is out of
            range.

    Source: Wei, Fu, Yang and Huang 2020, "A Physics-based Noise Formation Model for Extreme Low-light Raw Denoising",
        sec. 4; github.com/Vandermode/ELD, noise.py.

    >>> fit = {"slope": 0.5, "bias": 1.0, "sigma": 0.25}
    >>> figures = {"Kmin": 0.25, "Kmax": 16.0, "G_shape": np.array([0.1]), "color_bias": np.array([0.5]),
    ...            "Profile-1": {"g_scale": fit, "G_scale": fit, "R_scale": fit}}
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/MyCamera_params.npy", figures)
    ...     found = eld(f"{folder}/MyCamera_params.npy", base_iso=100)
    >>> found, found.name
    (ImportedCurve(7 gains, ISO 100 to 6400), 'MyCamera')
    """
    if base_iso is None:
        raise ValueError(
            "base_iso must be given: ELD's files hold gains in DN per electron and no ISO. In its five cameras the "
            "largest gain is 64 times the smallest, as from ISO 100 to 6400, which base_iso=100 means"
        )
    span = RANGE_DN if range_dn is None else range_dn
    for name, value in (("base_iso", base_iso), ("range_dn", span)):
        checks.in_range(name, value, low=0.0)
        checks.above_zero(name, value)
    file = Path(path)
    figures = read_figures(file)
    try:
        smallest, largest = float(figures["Kmin"]), float(figures["Kmax"])
        if not 0 < smallest < largest < np.inf:
            raise ValueError(f"Kmin must be above 0, and Kmax above Kmin; found {smallest:g} and {largest:g}")
        profiles = [name for name in figures if str(name).startswith("Profile-")]
        checks.one_of("profile", profile, profiles)
        gaussian, _, row = (_line(figures[profile][name]) for name in ("g_scale", "G_scale", "R_scale"))
        shapes, biases = (np.asarray(figures[name], dtype=np.float64) for name in ("G_shape", "color_bias"))
    except (KeyError, TypeError, AttributeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{str(file)!r} is not a parameter file of ELD: {what}") from error
    except ValueError as error:
        raise ValueError(f"{str(file)!r}: {error}") from error
    gains = _gains(iso, base_iso, largest / smallest)
    system = smallest * gains / base_iso
    slope, bias, spread = gaussian
    sigma, rows = (np.exp(line[0] * np.log(system) + line[1]) for line in (gaussian, row))
    name = file.stem.removesuffix("_params")
    source = (
        f"ELD's calibration of {name!r} (Wei et al. 2020, {file.name}, {profile}): system gain K = {smallest:.4g} to "
        f"{largest:.4g} DN per electron, taken as ISO {base_iso:g} to {base_iso * largest / smallest:g}; alpha = K and "
        f"sigma = exp({slope:.4g} log K + {bias:.4g}), both over {span:g} DN"
    )
    shares = " and ".join(f"{rows[end]:.2g} DN ({rows[end] / sigma[end]:.0%} of sigma)" for end in (0, -1))
    diagnostics = [
        Diagnostic(
            "spread",
            "note",
            f"sigma is the middle of a fit over gains; single gains lie a factor {np.exp(spread):.2f} around it",
        ),
        Diagnostic("row-noise", "warning", f"row noise is left out: {shares} at the smallest and largest gain"),
        Diagnostic(
            "heavy-tails",
            "note",
            f"the shape of read noise is left out: Tukey lambda {shapes.min():.2g} to {shapes.max():.2g}, where 0.14 "
            "is nearly Gaussian and less has heavier tails",
        ),
        Diagnostic(
            "black-offset", "note", f"black offsets of colors are left out: up to {np.abs(biases).max():.2g} DN"
        ),
        Diagnostic(
            "quantization",
            "note",
            f"rounding (deviation 0.29 DN) is not stated apart; sigma is {sigma[0]:.2g} DN at the smallest gain",
        ),
    ]
    if len(profiles) > 1:
        others = ", ".join(repr(other) for other in profiles if other != profile)
        text = f"the file has another fit too, which is not read: {others}"
        diagnostics.append(Diagnostic("other-profile", "note", text))
    if range_dn is None:
        text = (
            f"white less black is taken as {RANGE_DN:g} DN, as ELD does for all its cameras: give yours if it differs"
        )
        diagnostics.append(Diagnostic("range", "note", text))
    return ImportedCurve(name, gains, system / span, sigma / span, source, tuple(diagnostics))


def _line(figures: dict[str, Any]) -> tuple[float, float, float]:
    """A fit ``log value = slope log K + bias``, natural logarithms: slope, bias, and the deviation around it."""
    slope, bias, spread = (float(figures[name]) for name in ("slope", "bias", "sigma"))
    if not np.isfinite([slope, bias, spread]).all():
        raise ValueError(f"a fit must be finite; found {figures}")
    return slope, bias, spread


def _gains(iso: npt.ArrayLike | None, base_iso: float, ratio: float) -> npt.NDArray[np.float64]:
    if iso is None:
        # to a rounding error ELD's ranges are 6 stops
        stops = np.arange(np.floor(np.log2(ratio) + 1e-6) + 1)
        return base_iso * 2.0**stops
    gains = np.atleast_1d(np.asarray(iso, dtype=np.float64))
    last = base_iso * ratio
    inside = (gains >= base_iso * (1 - 1e-6)) & (gains <= last * (1 + 1e-6))
    if gains.ndim != 1 or not gains.size or not inside.all() or (np.diff(gains) <= 0).any():
        raise ValueError(f"iso must be increasing gains from {base_iso:g} to {last:g}; found {gains.tolist()}")
    return gains


_LARGEST_FILE = 1 << 20  # bytes: such files hold some hundred figures
_NUMBERS = ("f4", "f8", "i4", "i8", "u1")

_OPCODES = frozenset(
    {"PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT"}
    | {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
    | {"SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES"}
    | {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "APPEND", "APPENDS", "SETITEM", "SETITEMS"}
    | {"BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"}
)
"""What builds figures; others make objects, or reserve as much memory as they like."""


def read_figures(path: str | Path) -> dict[Any, Any]:
    """The dictionary that an NPY file of one pickled object holds, as `np.save(path, dictionary)` writes it.

    Nothing that the pickle names is imported or called. Its few opcodes that build figures are followed, and the names
    that NumPy writes for them stand for functions of this module; every other opcode or name is refused.

    Returns:
        The dictionary.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no such file, is damaged, or holds anything but figures; the message names what.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no file {str(file)!r}")
    if file.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"{str(file)!r} must be at most {_LARGEST_FILE} bytes; found {file.stat().st_size}")
    try:
        with file.open("rb") as stream:
            if np.lib.format.read_magic(stream) != (1, 0):
                raise ValueError("it must be an NPY file of version 1.0")
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            if dtype != np.dtype(object) or shape != ():
                raise ValueError(f"it must hold one dictionary; found an array of {dtype}, shape {shape}")
            pickled = stream.read()
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name not in _OPCODES:
                raise ValueError(f"it holds more than figures: opcode {opcode.name} is not followed")
            if opcode.name == "LONG_BINPUT" and int(argument or 0) > len(pickled):  # so many places in the memo
                raise ValueError("it is damaged: it counts more items than it has bytes")
        content = _Figures(io.BytesIO(pickled)).load()
        if not isinstance(content, _Array) or not isinstance(content[()], dict):
            raise ValueError("it must hold one dictionary")
        found: dict[Any, Any] = content[()]
        return found
    except Exception as error:  # damaged bytes end in a dozen types, of Python's own parser for the header too
        raise ValueError(f"{str(file)!r} is not a file of figures that can be read: {error}") from error


class _Figures(pickle.Unpickler):
    """Builds numbers, and arrays of them, with the functions below in place of NumPy's, which trust what they get."""

    def find_class(self, module: str, name: str) -> str | Callable[..., Any]:
        # Made anew each time, as a pickle can set attributes of what it names.
        known: dict[str, str | Callable[..., Any]] = {
            "_codecs encode": lambda text, coding: {"latin1": text.encode("latin1")}[coding],
            "numpy dtype": lambda code, *_: _Kind(code),
            "numpy ndarray": "ndarray",
            "multiarray _reconstruct": lambda kind, *_: {"ndarray": np.empty(0).view(_Array)}[kind],
            "multiarray scalar": lambda kind, content: np.frombuffer(content, kind.number())[0],
        }
        found = known.get(f"{module} {name}".removeprefix("numpy.core.").removeprefix("numpy._core."))
        if found is None:
            raise ValueError(f"it holds more than figures: it names {module + '.' + name!r}")
        return found


class _Kind:
    """A dtype in the making."""

    def __init__(self, code: str) -> None:
        if code not in (*_NUMBERS, "O", "O8"):
            raise ValueError(
                f"it holds more than figures: numbers must be one of {', '.join(_NUMBERS)}; found {code!r}"
            )
        self.is_object = code not in _NUMBERS
        self.dtype = np.dtype(object if self.is_object else code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])

    def number(self) -> np.dtype[Any]:
        if self.is_object:
            raise ValueError("it holds more than figures: an object where a number belongs")
        return self.dtype


class _Array(np.ndarray[Any, Any]):
    """An array that takes its content only if that fits."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_columns, content = state
        found: Any
        if kind.is_object:
            (whole,) = content  # the file's one object
            found = (1, (), np.dtype(object), False, [whole])
        else:
            values = np.frombuffer(content, kind.number()).reshape(shape, order="F" if by_columns else "C")
            found = (1, values.shape, values.dtype, bool(by_columns), content)
        super().__setstate__(found)
