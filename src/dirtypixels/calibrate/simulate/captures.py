"""A calibration's captures of a simulated camera, on disk as a user would have them, and the truth next to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.chart_print import write_chart
from dirtypixels.calibrate.simulate.camera import ChartCamera, channel_of, of_channel, realistic_camera
from dirtypixels.calibrate.simulate.geometry import Pose
from dirtypixels.camera import Camera
from dirtypixels.files import write_text
from dirtypixels.raw.folders import write_frames

#: How a chart stands in captures by hand: turned and tilted a little, and moved from one to the next.
HANDHELD_POSES = (
    Pose(fill=0.97, rotation=0.8, tilt=(1.0, -1.5)),
    Pose(fill=0.96, rotation=-0.6, tilt=(-1.2, 1.0), offset=(0.004, -0.003)),
    Pose(fill=0.95, rotation=1.5, tilt=(0.5, 2.0), offset=(-0.005, 0.004)),
)

#: The lamp: signal of green in the frame's center that a second at ISO 100 collects.
LIGHT = 10.0


def simulate_captures(
    folder: str | Path,
    camera: ChartCamera | None = None,
    *,
    isos: Sequence[float] = (100, 400, 1600),
    exposures: int = 6,
    frames: int = 2,
    chart: BernoulliChart | None = None,
    poses: Sequence[Pose] = HANDHELD_POSES,
    snr_db: float | None = None,
    seed: int = 0,
) -> Path:
    """Write all captures of a calibration, and what it should find.

    `noise/` holds, for each gain, flat fields from nearly black to clipped in the frame's center, each exposure
    `frames` times; `darks/` as many frames with the lens cap on, exposed as long as the longest of them; `chart/` a
    capture for each pose at the lowest gain; each folder with its `captures.csv`. `chart.png` is the chart, `truth/`
    the camera's profile, `truth.json` everything else that went in.

    Args:
        folder: to make; it may be there if it is empty.
        camera: None for `realistic_camera()`.
        isos: gains, > 0.
        exposures: number of flat fields at each gain, >= 1.
        frames: of each exposure, >= 1.
        chart: None for one whose cells suit the camera's pixels.
        poses: of the chart, one for each capture; none for a simulation of the noise alone.
        snr_db: of the chart captures, in place of the noise at the lowest gain, see `ChartCamera.noise`.
        seed: of the noise, and of the chart where none is given.

    Returns:
        The folder.

    Raises:
        FileExistsError: the folder holds something.
        ValueError: a count or a gain is out of range, or a pose does not suit the camera.

    Example:
        >>> import tempfile
        >>> from dirtypixels.calibrate.simulate import realistic_camera, simulate_captures
        >>> camera = realistic_camera(height=48, width=64)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = simulate_captures(folder, camera, isos=[100], exposures=2, poses=())
        ...     sorted(path.name for path in (found / "noise").iterdir())[:3]
        ['captures.csv', 'iso100-flat1-1.tiff', 'iso100-flat1-2.tiff']
    """
    target = Path(folder)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"out must be an empty folder or new; found {str(target)!r}")
    if not isos or min(isos) <= 0 or len(set(isos)) < len(isos):
        raise ValueError(f"isos must be different numbers above 0, at least one; found {list(isos)}")
    if min(exposures, frames) < 1:
        raise ValueError(f"exposures and frames must be at least 1; found {exposures} and {frames}")
    simulated = realistic_camera() if camera is None else camera
    generator = torch.Generator().manual_seed(seed)
    chart = (chart or BernoulliChart.for_sensor(simulated.width, simulated.height, seed=seed)) if poses else None
    if chart is not None:
        photographs = []
        for number, pose in enumerate(poses, start=1):
            frame = simulated.photograph(chart, min(isos), generator, pose=pose, snr_db=snr_db)
            photographs.append(replace(frame, path=Path(f"chart-{number}.tiff")))
        write_frames(photographs, target / "chart")
        write_chart(chart, target / "chart.png")
    # Dark frames state the time for which they were exposed, since a real camera's do.
    levels = np.geomspace(0.02, 1.1, exposures).tolist() if exposures > 1 else [0.5]
    flats, darks = [], []
    for iso in isos:
        times = [float(f"{level / (LIGHT * iso / 100):.6g}") for level in levels]
        for number in range(1, frames + 1):
            frame = simulated.flat(0.0, iso, times[-1], generator)
            darks.append(replace(frame, path=Path(f"iso{iso:g}-dark-{number}.tiff")))
        for step, seconds in enumerate(times, start=1):
            for number in range(1, frames + 1):
                frame = simulated.flat(LIGHT, iso, seconds, generator, gradient=(0.05, -0.03))
                flats.append(replace(frame, path=Path(f"iso{iso:g}-flat{step}-{number}.tiff")))
    write_frames(flats, target / "noise")
    write_frames(darks, target / "darks")
    simulated.camera.save(target / "truth")
    # Files hold PSFs rounded once more, so the hash is that of the profile as it is read.
    truth = {"camera_hash": Camera.load(target / "truth").hash, **_truth(simulated, isos, chart, poses)}
    truth |= {"snr_db": snr_db, "seed": seed}
    write_text(target / "truth.json", json.dumps(truth, indent=2) + "\n")
    return target


def _truth(camera: ChartCamera, isos: Sequence[float], chart: BernoulliChart | None, poses: Sequence[Pose]) -> Any:
    """What went in, as plain values."""
    colors = sorted({plane[0] for plane in camera.planes()}, key=channel_of)
    return {
        "camera": camera.camera.name,
        "frame": {"height": camera.height, "width": camera.width},
        "sensor": {name: getattr(camera, name) for name in ("cfa", "bits", "black", "white", "prnu")}
        | {"hot": int((camera.dark > 0).sum()), "seed": camera.seed},
        "noise": [
            {"iso": iso, "channel": name}
            | {figure: of_channel(value, name) for figure, value in camera.noise(iso)._asdict().items()}
            for iso in isos
            for name in colors
        ],
        "lens": {name: getattr(camera, name) for name in ("distortion", "focal", "vignetting", "color")},
        "chart": None if chart is None else chart.parameters(),
        "chart_captures": [
            {"pose": asdict(pose), "homography": camera.view(chart, pose).homography.tolist()}
            for pose in poses
            if chart is not None
        ],
    }
