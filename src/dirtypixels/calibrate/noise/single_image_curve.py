"""A camera's noise over gain, from one raw photograph of anything at each gain."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.noise.black import BlackLevel
from dirtypixels.calibrate.noise.curve import MeasuredCurve
from dirtypixels.calibrate.noise.level import NoiseEstimate
from dirtypixels.calibrate.noise.single_image import single_image_noise
from dirtypixels.camera.noise import ExposureRule
from dirtypixels.raw.agreement import check_same_camera
from dirtypixels.raw.frames import Frame

METHOD = "single raw photographs, smooth parts of their finest details (Foi et al. 2008)"


def single_image_curve(
    captures: Sequence[Frame],
    *,
    confidence: float = 0.95,
    exposure: ExposureRule = ExposureRule(),  # noqa: B008 (immutable)
    progress: Callable[[int, int], object] | None = None,
) -> MeasuredCurve:
    """Measure a camera's noise from one raw photograph for each gain; see `single_image_noise`.

    Args:
        captures: photographs of one camera, each of another ISO, with their black and white level.
        confidence: of the intervals, in (0, 1).
        exposure: the rule that turns lux into ISO, which captures do not tell.
        progress: called with how many photographs are done, and of how many.

    Returns:
        The curve, with an estimate for each gain and channel; the black level is as the files state it.

    Raises:
        ValueError: there is no photograph, one does not state its ISO, two have the same, or they are not of one
            camera; or `single_image_noise` refuses one.
    """
    frames = list(captures)
    if not frames:
        raise ValueError("captures must hold at least one photograph; found none")
    check_same_camera(frames, levels_may_follow_iso=True)
    by_iso: dict[float, Frame] = {}
    for frame in frames:
        if frame.iso is None:
            raise ValueError(f"{frame.name} does not say its ISO, and a curve needs it: give iso=")
        if frame.iso in by_iso:
            raise ValueError(
                f"captures must be one photograph for each ISO; found {by_iso[frame.iso].name} and {frame.name} at "
                f"ISO {frame.iso:g}"
            )
        by_iso[frame.iso] = frame
    estimates: dict[tuple[float, str], NoiseEstimate] = {}
    diagnostics: list[Diagnostic] = []
    for done, (iso, frame) in enumerate(sorted(by_iso.items()), start=1):
        for channel, estimate in single_image_noise(frame, confidence=confidence).items():
            estimates[iso, channel] = estimate
            where = f"ISO {iso:g}" + ("" if channel == "Y" else f", {channel}")
            diagnostics += [
                Diagnostic(f.kind, f.severity, f"{where}: {f.message}")
                for f in estimate.diagnostics
                if f.severity != "note"
            ]
        if progress is not None:
            progress(done, len(by_iso))
    black = {
        (iso, plane): BlackLevel(level, None, "given", level)
        for iso, frame in by_iso.items()
        for plane in frame.planes()
        if (level := frame.black_of(plane)) is not None
    }
    white = {iso: frame.white for iso, frame in by_iso.items() if frame.white is not None}
    return MeasuredCurve(estimates, black, white, tuple(diagnostics), exposure, METHOD)
