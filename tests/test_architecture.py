"""What may import what, and what is public.

A name is public if `dirtypixels`, one of its rooms or a module that these export lists it in `__all__`. The other
files in which a room keeps its names are not exported: they may move, and need neither an underscore nor an `__all__`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest

import dirtypixels

ROOT = Path(dirtypixels.__file__).parent

# The design's table of rooms, from the ground up: a room stands on those in its row and on what they stand on.
GROUND = {"checks", "files", "plotting"}
STANDS_ON: dict[str, set[str]] = {
    "checks": set(),
    "files": set(),
    "plotting": {"files"},
    "observation": {"checks"},
    "blur": {"observation"},
    "recipe": {"checks"},
    "camera": {"observation", "blur"},
    "raw": {"observation", "camera"},
    "restore": {"observation", "blur"},
    "calibrate": {"camera", "raw"},
    "data": {"observation", "camera", "raw"},
    "tasks": {"observation", "restore"},
    "train": {"data", "tasks", "recipe"},
    "deploy": {"tasks", "recipe"},
    "study": {"train", "deploy"},
}
STANDS_ON["bridges"] = set(STANDS_ON)
STANDS_ON["cli"] = set(STANDS_ON)


def allowed(room: str) -> set[str]:
    below = STANDS_ON[room] | (GROUND if room not in GROUND else set())
    return {room} | below | {name for other in below for name in allowed(other)}


def name_of(path: Path) -> str:
    return ".".join(["dirtypixels", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")


SOURCES = {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules below `dirtypixels` that a file imports, wherever in the file it does, such as `dirtypixels.raw.dng`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("dirtypixels."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that they can be checked"
            module = node.module or ""
            if module.split(".")[0] == "dirtypixels":
                inner = [f"{module}.{alias.name}" for alias in node.names]
                yield from (name if name in SOURCES or module == "dirtypixels" else module for name in inner)


class TestImports:
    def test_they_are_found_in_every_form(self) -> None:
        tree = ast.parse(
            "import dirtypixels\nimport dirtypixels.raw.dng as dng\nfrom dirtypixels import checks, data\n"
            "from dirtypixels.camera.noise import NoiseLevel\nfrom dirtypixels.restore import prox, minimize\n"
            "import torch\ndef f():\n    from dirtypixels.tasks import JointModel\n"
        )
        found = "raw.dng checks data camera.noise restore.prox restore.minimize tasks"
        assert list(imported(tree)) == [f"dirtypixels.{name}" for name in found.split()]

    def test_every_room_is_in_the_table(self) -> None:
        assert {name.split(".")[1] for name in SOURCES if "." in name} == set(STANDS_ON)

    def test_the_table_has_no_circle(self) -> None:
        for i, room in enumerate(STANDS_ON):
            assert STANDS_ON[room] <= set(list(STANDS_ON)[:i])

    @pytest.mark.parametrize("room", STANDS_ON)
    def test_a_room_imports_only_what_it_stands_on(self, room: str) -> None:
        for name, tree in SOURCES.items():
            if name.split(".")[1:2] == [room]:
                wrong = {module.split(".")[1] for module in imported(tree)} - allowed(room)
                assert not wrong, f"{name} imports {', '.join(sorted(wrong))}"

    def test_no_modules_import_each_other_in_a_circle(self) -> None:
        # The package itself, which hands out names of all rooms on first use, is imported by none.
        graph = {name: set(imported(tree)) for name, tree in SOURCES.items() if name != "dirtypixels"}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            pytest.fail(" is imported by ".join(error.args[1]))


HEAVY = {"torch", "timm", "lightning", "numpy", "scipy", "skimage", "matplotlib", "pydantic"}


def public_modules(module: ModuleType = dirtypixels) -> Iterator[ModuleType]:
    """The package, its rooms, and what they export of modules."""
    yield module
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, ModuleType):
            yield from public_modules(value)


WITHOUT_EXAMPLE = {
    # abstract: what others inherit or look like
    "Algorithm": "its classes have one each",
    "DataTerm": "its classes have one each",
    "PhotoSet": "a protocol; the data sets have one each",
    "Overrides": "the types of what `read_frame` takes, which has one",
    # what comes back
    "Selection": "what `select` returns, which has one",
    "ConvergenceError": "raised where an iteration does not converge",
    # what a user does not call
    "require_bm3d": "says that a package is missing",
    "require_deepinv": "says that a package is missing",
}
"""Public classes and functions whose docstring has no example, and why."""


class TestPublicNames:
    def test_the_package_alone_imports_nothing_heavy(self) -> None:
        code = "import sys, dirtypixels; dirtypixels.__version__; dir(dirtypixels); print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
        assert not HEAVY & set(done.stdout.split())

    def test_every_room_but_the_command_is_public(self) -> None:
        assert {*STANDS_ON} - GROUND - {"observation", "cli"} <= set(dirtypixels.__all__)

    def test_a_public_module_lists_what_it_offers(self) -> None:
        for module in public_modules():
            assert all(hasattr(module, name) for name in module.__all__), module.__name__
            missing = offered(module.__name__) - set(module.__all__)
            assert not missing, f"__all__ of {module.__name__} lacks {', '.join(sorted(missing))}"

    def test_public_classes_and_functions_have_an_example(self) -> None:
        found = {}
        for module in public_modules():
            for value in (getattr(module, name) for name in module.__all__):
                if inspect.isfunction(value):
                    found[value.__name__] = ">>>" in (value.__doc__ or "")
                elif inspect.isclass(value) and value.__module__.startswith("dirtypixels"):
                    methods = [one for one in vars(value).values() if inspect.isfunction(getattr(one, "__func__", one))]
                    found[value.__name__] = any(">>>" in (one.__doc__ or "") for one in (value, *methods))
        assert {name for name, shown in found.items() if not shown} == set(WITHOUT_EXAMPLE)

    def test_dir_shows_public_names(self) -> None:
        """In a room, the files in which it keeps them may show too."""
        assert dir(dirtypixels) == sorted(dirtypixels.__all__)
        for module in public_modules():
            if hasattr(module, "__path__"):
                more = {name for name in dir(module) if not name.startswith("_")} - set(module.__all__)
                assert {f"{module.__name__}.{name}" for name in more} <= set(SOURCES)

    def test_star_imports_public_names(self) -> None:
        names: dict[str, object] = {}
        exec("from dirtypixels import *", names)
        assert set(names) - {"__builtins__"} == set(dirtypixels.__all__)

    def test_raises_for_a_name_that_is_not_there(self) -> None:
        with pytest.raises(AttributeError, match="module 'dirtypixels' has no attribute 'Kamera'"):
            dirtypixels.Kamera  # type: ignore[attr-defined]  # noqa: B018

    def test_types_are_known(self, tmp_path: Path) -> None:
        pytest.importorskip("mypy")
        snippet = tmp_path / "snippet.py"
        snippet.write_text(
            "import dirtypixels as dp\n"
            "reveal_type(dp.Camera.load)\n"
            "reveal_type(dp.load_model)\n"
            "reveal_type(dp.calibrate.noise_level)\n"
            "reveal_type(dp.restore.Denoiser)\n"
            "dp.nonsense\n"
            "dp.calibrate.nonsense\n"
        )
        argv = [sys.executable, "-m", "mypy", "--no-error-summary", str(snippet)]
        done = subprocess.run(argv, cwd=ROOT.parents[1], capture_output=True, text=True, timeout=600)
        revealed = [line.partition("Revealed type is ")[2] for line in done.stdout.splitlines()[:4]]
        for found, name in zip(revealed, ["Camera", "JointModel", "NoiseEstimate", "Denoiser"], strict=True):
            assert found.startswith('"def ('), done.stdout + done.stderr
            assert f".{name}" in found
        assert [line.partition(": error: ")[2] for line in done.stdout.splitlines()[4:]] == [
            'Module has no attribute "nonsense"  [attr-defined]'
        ] * 2


def offered(name: str) -> set[str]:
    """What a module defines for others, and in a package also what it imports from its own files."""
    found = set()
    package = hasattr(importlib.import_module(name), "__path__")
    for node in SOURCES[name].body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif package and isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dirtypixels"):
            found |= {alias.asname or alias.name for alias in node.names}
    return {one for one in found if not one.startswith("_")}
