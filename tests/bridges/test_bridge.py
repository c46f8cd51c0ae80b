"""The bridge without deepinv: light to import, and clear about what is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from dirtypixels import Camera
from dirtypixels.bridges import deepinv as bridge
from dirtypixels.restore import Denoiser


def test_importing_the_bridge_does_not_import_deepinv() -> None:
    code = "import sys, dirtypixels.bridges.deepinv; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    assert {"dirtypixels.bridges", "dirtypixels.bridges.deepinv"} <= set(done.stdout.split())
    assert not [name for name in done.stdout.split() if name.split(".")[0] == "deepinv"]


@pytest.fixture
def without_deepinv(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "deepinv"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Missing("deepinv"), *sys.meta_path])


class _Missing:
    """A finder for which a package does not exist."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self.name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.usefixtures("without_deepinv")
class TestWithoutDeepinv:
    def test_raises_in_everything_that_needs_it_and_says_how_to_get_it(self) -> None:
        message = r"needs the package deepinv: `pip install dirtypixels\[deepinv\]`"
        with pytest.raises(ImportError, match=message):
            bridge.require_deepinv()
        with pytest.raises(ImportError, match=message):
            bridge.reconstructor(Denoiser())
        with pytest.raises(ImportError, match=message):
            bridge.observation(torch.zeros(1, 1, 4, 4), None)
        with pytest.raises(ImportError, match=message):
            bridge.camera_physics(Camera.load("ov2740"), lux=3)

    def test_a_denoiser_prox_needs_none_of_it(self) -> None:
        v = torch.rand(1, 1, 4, 4)
        assert torch.equal(bridge.DenoiserProx(lambda u, s: u)(v, torch.tensor(2.0)), v)


def test_raises_what_deepinv_itself_lacks_and_does_not_call_it_deepinv(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ModuleNotFoundError("No module named 'einops'", name="einops")

    monkeypatch.setattr("dirtypixels.bridges.deepinv.importlib.import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="einops"):
        bridge.require_deepinv()


class TestArguments:
    """Checked before deepinv is asked for."""

    def test_raises(self) -> None:
        camera = Camera.load("nexus-6p-rear")
        with pytest.raises(TypeError, match="unit must map an Observation to an image; found int"):
            bridge.reconstructor(3)
        with pytest.raises(TypeError, match="camera must be a Camera; found str"):
            bridge.camera_physics("nexus-6p-rear", lux=3)
        with pytest.raises(ValueError, match="exactly one of lux and iso; found lux=3, iso=100"):
            bridge.camera_physics(camera, lux=3, iso=100)
        with pytest.raises(ValueError, match="exactly one of lux and iso; found lux=None, iso=None"):
            bridge.camera_physics(camera)
        with pytest.raises(ValueError, match="lux must be above 0"):
            bridge.camera_physics(camera, lux=0.0)
        with pytest.raises(ValueError, match=r"lux must be a number or have shape \(B,\); found \(2, 1\)"):
            bridge.camera_physics(camera, lux=torch.ones(2, 1))
        with pytest.raises(ValueError, match="position must be one of"):
            bridge.camera_physics(camera, lux=3, position="corner")
        with pytest.raises(ValueError, match="has no PSF field"):
            bridge.camera_physics(Camera.load("ov2740"), lux=3, position="center")
        with pytest.raises(ValueError, match="beyond must be one of 'mirror', 'crop'; found 'zeros'"):
            bridge.camera_physics(camera, lux=3, beyond="zeros")  # type: ignore[arg-type]
