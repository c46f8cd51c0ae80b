"""Figures from an array file that holds a pickled dictionary, without unpickling it."""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

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
