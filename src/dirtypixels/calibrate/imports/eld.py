"""ELD's calibrated noise parameters of five cameras, from files with a pickle that is read and never executed."""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from dirtypixels import checks
from dirtypixels.calibrate.diagnostics import Diagnostic, Kind, Severity
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
    """Noise of a camera from one of ELD's files, `NAME_params.npy`, which is read without unpickling.

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
        if value == 0:
            raise ValueError(f"{name} must be above 0; found 0")
    file = Path(path)
    figures = read_figures(file)
    try:
        smallest, largest = (_above_zero(figures, name) for name in ("Kmin", "Kmax"))
        if largest <= smallest:
            raise ValueError(f"Kmax must be above Kmin {smallest:g}; found {largest:g}")
        profiles = [name for name in figures if str(name).startswith("Profile-")]
        checks.one_of("profile", profile, profiles)
        lines = {name: _Line(figures[profile][name]) for name in ("g_scale", "G_scale", "R_scale")}
        shapes, biases = (np.asarray(figures[name], dtype=np.float64) for name in ("G_shape", "color_bias"))
    except (KeyError, TypeError, AttributeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{str(file)!r} is not a parameter file of ELD: {what}") from error
    except ValueError as error:
        raise ValueError(f"{str(file)!r}: {error}") from error
    gains = _gains(iso, base_iso, largest / smallest)
    system = smallest * gains / base_iso
    sigma = lines["g_scale"].at(system)
    name = file.stem.removesuffix("_params")
    source = (
        f"ELD's calibration of {name!r} (Wei et al. 2020, {file.name}, {profile}): system gain K = {smallest:.4g} to "
        f"{largest:.4g} DN per electron, taken as ISO {base_iso:g} to {base_iso * largest / smallest:g}; alpha = K and "
        f"sigma = exp({lines['g_scale'].slope:.4g} log K + {lines['g_scale'].bias:.4g}), both over {span:g} DN"
    )
    diagnostics = _left_out(lines, system, shapes, biases)
    if len(profiles) > 1:
        others = ", ".join(repr(other) for other in profiles if other != profile)
        diagnostics.append(
            Diagnostic("other-profile", "note", f"the file has another fit too, which is not read: {others}")
        )
    if range_dn is None:
        text = (
            f"white less black is taken as {RANGE_DN:g} DN, as ELD does for all its cameras: give yours if it differs"
        )
        diagnostics.append(Diagnostic("range", "note", text))
    return ImportedCurve(name, gains, system / span, sigma / span, source, tuple(diagnostics))


class _Line:
    """A fit ``log value = slope log K + bias``, natural logarithms, with the deviation `spread` around it."""

    def __init__(self, figures: dict[str, Any]) -> None:
        self.slope, self.bias, self.spread = (float(figures[name]) for name in ("slope", "bias", "sigma"))
        if not np.isfinite([self.slope, self.bias, self.spread]).all():
            raise ValueError(f"a fit must be finite; found {figures}")

    def at(self, gain: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.exp(self.slope * np.log(gain) + self.bias)


def _above_zero(figures: dict[Any, Any], name: str) -> float:
    value = float(figures[name])
    if not 0 < value < np.inf:
        raise ValueError(f"{name} must be above 0 and finite; found {value:g}")
    return value


def _gains(iso: npt.ArrayLike | None, base_iso: float, ratio: float) -> npt.NDArray[np.float64]:
    if iso is None:
        # to a rounding error ELD's ranges are 6 stops
        stops = np.arange(np.floor(np.log2(ratio) + 1e-6) + 1)
        return base_iso * 2.0**stops
    gains = np.atleast_1d(np.asarray(iso, dtype=np.float64))
    last = base_iso * ratio
    inside = np.isfinite(gains).all() and (gains >= base_iso * (1 - 1e-6)).all() and (gains <= last * (1 + 1e-6)).all()
    if gains.ndim != 1 or not gains.size or not inside or (np.diff(gains) <= 0).any():
        raise ValueError(f"iso must be increasing gains from {base_iso:g} to {last:g}; found {gains.tolist()}")
    return gains


def _left_out(
    lines: dict[str, _Line],
    system: npt.NDArray[np.float64],
    shapes: npt.NDArray[np.float64],
    biases: npt.NDArray[np.float64],
) -> list[Diagnostic]:
    """What ELD models and Poisson-Gaussian noise does not."""
    ends = system[[0, -1]]
    gaussian, rows = lines["g_scale"].at(ends), lines["R_scale"].at(ends)
    shares = " and ".join(
        f"{row:.2g} DN ({row / sigma:.0%} of sigma)" for row, sigma in zip(rows, gaussian, strict=True)
    )
    spread = float(np.exp(lines["g_scale"].spread))
    found: tuple[tuple[Kind, Severity, str], ...] = (
        (
            "spread",
            "note",
            f"sigma is the middle of a fit over gains; single gains lie a factor {spread:.2f} around it",
        ),
        ("row-noise", "warning", f"row noise is left out: {shares} at the smallest and largest gain"),
        (
            "heavy-tails",
            "note",
            f"the shape of read noise is left out: Tukey lambda {shapes.min():.2g} to {shapes.max():.2g}, where 0.14 "
            "is nearly Gaussian and less has heavier tails",
        ),
        ("black-offset", "note", f"black offsets of colors are left out: up to {np.abs(biases).max():.2g} DN"),
        (
            "quantization",
            "note",
            f"rounding (deviation 0.29 DN) is not stated apart; sigma is {gaussian[0]:.2g} DN at the smallest gain",
        ),
    )
    return [Diagnostic(kind, severity, message) for kind, severity, message in found]


_Kind = TypeVar("_Kind")

_LARGEST_FILE = 1 << 20  # bytes: such files hold some hundred figures
_NUMBERS = frozenset({"f8", "f4", "i8", "i4", "u1"})

#: what a pickle may name; a name is only compared, nothing is imported or called for it
_ENCODE, _NDARRAY, _DTYPE = "_codecs encode", "numpy ndarray", "numpy dtype"
_EMPTY_ARRAYS = frozenset({"numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"})
_SCALARS = frozenset({"numpy.core.multiarray scalar", "numpy._core.multiarray scalar"})
_NAMES = frozenset({_ENCODE, _NDARRAY, _DTYPE}) | _EMPTY_ARRAYS | _SCALARS

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = frozenset(
    {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
    | {"SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES"}
)


@dataclass(frozen=True)
class _Name:
    """A name in the pickle."""

    text: str


@dataclass(eq=False)
class _Unfinished:
    """A dtype (with its code) or an array (without) whose content follows in the pickle."""

    code: str | None = None


class _Mark:
    """Where a run of items starts on the stack."""


def read_figures(path: str | Path) -> dict[Any, Any]:
    """The dictionary that an NPY file of one pickled object holds, as `np.save(path, dictionary)` writes it.

    The pickle is not executed. Its opcodes are read one after the other, and those few that build numbers, text, lists,
    tuples, dictionaries and arrays of numbers are followed here; every other opcode or name is refused.

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
            content = _Follower().follow(stream.read())
        if not isinstance(content, list) or len(content) != 1 or not isinstance(content[0], dict):
            raise ValueError("it must hold one dictionary")
        return content[0]
    except Exception as error:  # damaged bytes end in a dozen types, of Python's own parser for the header too
        raise ValueError(f"{str(file)!r} is not a file of figures that can be read: {error}") from error


class _Follower:
    """The stack and the memo of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def follow(self, pickled: bytes) -> Any:
        """What the pickle builds."""
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name == "STOP":
                return self.stack.pop()
            self._step(opcode.name, argument)
        raise ValueError("it ends early")

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple(self._pop(int(name[-1]))))
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name == "MARK":
            stack.append(_Mark())
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name in ("APPEND", "APPENDS"):
            items = self._pop(1) if name == "APPEND" else self._since_mark()
            _expect(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._pop(2) if name == "SETITEM" else self._since_mark()
            _expect(stack[-1], dict).update(zip(items[::2], items[1::2], strict=True))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(_Name(_known(" ".join(self._pop(2)) if name == "STACK_GLOBAL" else argument)))
        elif name == "REDUCE":
            called, arguments = self._pop(2)
            stack.append(_called(_expect(called, _Name).text, _expect(arguments, tuple)))
        elif name == "BUILD":
            unfinished, state = self._pop(2)
            self._finish(_expect(unfinished, _Unfinished), _expect(state, tuple))
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"it holds more than figures: opcode {name} is not followed")

    def _finish(self, unfinished: _Unfinished, state: tuple[Any, ...]) -> None:
        whole = _array(state) if unfinished.code is None else _dtype(unfinished.code, state)
        self.stack.append(whole)
        self.memo |= {key: whole for key, value in self.memo.items() if value is unfinished}

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError("it is damaged: its stack runs empty")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def _since_mark(self) -> list[Any]:
        at = max(i for i, item in enumerate(self.stack) if isinstance(item, _Mark))
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items


def _expect(value: Any, kind: type[_Kind]) -> _Kind:
    if not isinstance(value, kind):
        raise ValueError(f"it holds more than figures: {type(value).__name__} where {kind.__name__} belongs")
    return value


def _known(name: str) -> str:
    if name not in _NAMES:
        raise ValueError(f"it holds more than figures: it names {name.replace(' ', '.')!r}")
    return name


def _called(name: str, arguments: tuple[Any, ...]) -> Any:
    """What numpy's own functions would make of these arguments, where that is a figure."""
    if name in _EMPTY_ARRAYS and arguments[0] == _Name(_NDARRAY):
        return _Unfinished()
    if name == _DTYPE:
        return _Unfinished(_expect(arguments[0], str))
    if name in _SCALARS:
        kind, content = arguments
        return np.frombuffer(_expect(content, bytes), dtype=_number(kind))[0]
    if name == _ENCODE and arguments[1] == "latin1":
        return _expect(arguments[0], str).encode("latin1")
    raise ValueError(f"it holds more than figures: a call of {name.replace(' ', '.')!r}")


def _dtype(code: str, state: tuple[Any, ...]) -> np.dtype[Any]:
    if code in ("O", "O8"):
        return np.dtype(object)
    if code not in _NUMBERS or state[1] not in ("<", ">", "|", "="):
        raise ValueError(f"numbers must be one of {', '.join(sorted(_NUMBERS))}; found {code!r}")
    return np.dtype(f"{state[1]}{code}")


def _number(kind: Any) -> np.dtype[Any]:
    if not isinstance(kind, np.dtype) or kind == np.dtype(object):
        raise ValueError("it holds more than figures: an object where a number belongs")
    return kind


def _array(state: tuple[Any, ...]) -> Any:
    """An array of numbers; of one object, the list of it."""
    _, shape, kind, by_columns, content = state
    if kind == np.dtype(object):
        return _expect(content, list)
    values = np.frombuffer(_expect(content, bytes), dtype=_number(kind))
    return values.reshape(_expect(shape, tuple), order="F" if by_columns else "C")
