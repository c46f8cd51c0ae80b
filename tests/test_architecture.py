"""Each room stands only on those that the design allows, and `import dirtypixels` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dirtypixels

ROOT = Path(dirtypixels.__file__).parent

# What every room may use; none of these stands on a room.
SHARED = {"blur", "checks", "plotting", "files", "observation", "recipe"}

# The design's table of rooms. A room stands on those in its row and on what they stand on.
STANDS_ON = {
    "camera": set(),
    "raw": {"camera"},
    "restore": set(),
    "calibrate": {"camera", "raw"},
    "data": {"camera", "raw"},
    "tasks": {"restore"},
    "train": {"data", "tasks"},
    "deploy": {"tasks"},
    "bridges": {"camera", "restore"},
    "study": {"train", "deploy"},
    "cli": {"study", "calibrate"},
}


def allowed(room: str) -> set[str]:
    below = STANDS_ON[room]
    return {room} | below | {name for other in below for name in allowed(other)}


def package_imports(source: str) -> set[str]:
    """First names below `dirtypixels` that a file imports, wherever in the file it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that they can be checked"
            modules = [node.module or ""]
            if node.module == "dirtypixels":
                modules = [f"dirtypixels.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in modules if name.startswith("dirtypixels.")}
    return found


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def test_imports_are_found_in_every_form() -> None:
    source = (
        "import dirtypixels\nimport dirtypixels.raw.dng as dng\nfrom dirtypixels import checks, data\n"
        "from dirtypixels.camera.noise import NoiseLevel\nimport torch\n"
        "def f():\n    from dirtypixels.tasks import JointModel\n"
    )
    assert package_imports(source) == {"raw", "checks", "data", "camera", "tasks"}


def test_every_room_is_in_the_table() -> None:
    rooms = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    assert rooms - {"recipe"} <= STANDS_ON.keys()
    assert {path.stem for path in ROOT.glob("*.py")} == (SHARED - {"recipe"}) | {"__init__"}


@pytest.mark.parametrize("room", STANDS_ON)
def test_a_room_imports_only_what_it_stands_on(room: str) -> None:
    for path in sources(room):
        wrong = package_imports(path.read_text(encoding="utf-8")) - allowed(room) - SHARED
        assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("name", sorted(SHARED))
def test_what_all_share_stands_on_no_room(name: str) -> None:
    files = sources(name) or [ROOT / f"{name}.py"]
    found = {one for path in files for one in package_imports(path.read_text(encoding="utf-8"))}
    assert found - ({"recipe"} if len(files) > 1 else set()) <= {"checks", "files", "observation"} - {name}


HEAVY = {"torch", "timm", "lightning", "numpy", "scipy", "skimage", "matplotlib", "pydantic"}


def test_the_package_alone_imports_nothing_heavy() -> None:
    code = "import sys, dirtypixels; dirtypixels.__version__; dir(dirtypixels); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    assert not HEAVY & set(done.stdout.split())


def test_public_names_are_there() -> None:
    for name in dirtypixels.__all__:
        assert getattr(dirtypixels, name) is not None
    with pytest.raises(AttributeError, match="module 'dirtypixels' has no attribute 'Kamera'"):
        dirtypixels.Kamera  # noqa: B018
