"""The pages of the documentation are executed: commands and Python top to bottom, recipes to one restored capture."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import dirtypixels as dp
from dirtypixels.deploy.units import build_unit
from dirtypixels.recipe import Deblur, Unit

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path for path in DOCS.glob("*.md") if "```" in path.read_text(encoding="utf-8"))
ROOT = DOCS.parent
NEEDS = {"deepinv.md": "deepinv", "calibrate.md": "cv2"}
COMMANDS = Path(sys.executable).parent


def blocks(page: Path, language: str) -> Iterator[tuple[int, str]]:
    """Line number and text of the fenced blocks in a language."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, found.start(1)) + 1, found[1]


def parts(page: Path) -> list[Any]:
    return [
        pytest.param({**part, "line": line}, id=f"{page.stem}:{line}:{i}")
        for line, text in blocks(page, "yaml")
        for i, part in enumerate(yaml.safe_load_all(text))
    ]


def test_there_are_pages() -> None:
    assert {page.name for page in PAGES} >= {"compositions.md", "calibrate.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.name in NEEDS:
        pytest.importorskip(NEEDS[page.name])
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    for line, text in blocks(page, "sh"):
        environment = os.environ | {"PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(["sh", "-ec", text], env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"line {line}: {text}{done.stdout[-2000:]}{done.stderr[-2000:]}"
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    for line, text in blocks(page, "python"):
        code = compile("\n" * (line - 1) + text, str(page), "exec")
        exec(code, names)
        assert len(text.strip().splitlines()) < 10, f"the block at line {line} is too long to be read at a glance"


@pytest.mark.parametrize("part", [part for page in PAGES for part in parts(page)])
def test_a_recipes_unit_is_built_and_restores(part: dict[str, Any]) -> None:
    camera = dp.Camera.load("nexus-6p-rear")
    generator = torch.Generator().manual_seed(0)
    scene = torch.rand(1, 3, 24, 20, generator=generator)
    for kind, described in (("unit", Unit), ("deblur", Deblur)):
        if kind in part:
            place = None if kind == "unit" else "offaxis"
            observation = camera.capture(scene, 6, place, generator=generator)
            unit = build_unit(described.model_validate(part[kind]))
            image = unit(observation)
            assert image.shape == scene.shape
            assert bool(image.isfinite().all())
            image.square().mean().backward()
            assert any(p.grad is not None and bool((p.grad != 0).any()) for p in unit.parameters())
