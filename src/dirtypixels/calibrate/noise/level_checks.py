"""What a fitted noise level says of itself: misfit, defects, drift, clipping, too few levels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from dirtypixels.calibrate.diagnostics import DRIFT_FAILURE, DRIFT_NOTE, DRIFT_WARNING, Diagnostic
from dirtypixels.calibrate.noise.clipped import Range
from dirtypixels.calibrate.noise.fit import Fit
from dirtypixels.calibrate.noise.groups import Groups, Mask

Array = npt.NDArray[np.float64]

#: The residual test fails where chance is excluded at this level and the misfit is larger than `TOLERANCE`.
LEVEL = 0.001
#: Relative misfit of the standard deviation, weighted rms over the patches, that is of no matter in use.
TOLERANCE = 0.03
#: Half width of alpha's interval at the brightest patch, of the variance, from which shot and read noise are not told
#: apart.
FEW_LEVELS = 0.5
#: sigma over alpha below which clipping at black hides sigma: at a tenth estimates are a sixth too large.
HIDDEN = 0.2
_FALSE_ALARMS = 0.01  # expected number of sound pixels taken for defects, in a stack
_STUCK = 8.0  # robust standard deviations of the pixels' means


def defects(signal: Array, groups: Groups, fit: Fit) -> Mask:
    """(P, H, W) which pixels are hot, stuck or flickering: by their variance over time, or their mean in the patch.

    A pixel's variance is chi-square with F - 1 degrees of freedom; the limit is that which `_FALSE_ALARMS` sound pixels
    of the stack pass, raised for the Poisson distribution's excess. Patches that are clipped are not searched: there,
    sound pixels differ in ways that cannot be told from defects.
    """
    frames, patches, height, width = signal.shape
    labels = groups.labels
    kept = labels >= 0
    count = max(int(kept.sum()), 1)
    limit = float(chi2.isf(_FALSE_ALARMS / count, frames - 1)) / (frames - 1)
    known = np.isfinite(fit.expected) & (fit.expected > 0)
    expected = np.where(known, fit.expected, np.inf)
    alpha = max(float(fit.theta[0]), 0.0)
    excess = np.where(known, alpha**3 * np.maximum(fit.level, 0), 0.0) / expected**2
    raised = limit * (1 + excess) * 1.2
    total = np.bincount(groups.patch, groups.pixels, patches)
    clipped = np.bincount(groups.patch, groups.clipped * groups.pixels, patches) / total > 0.001
    mean = np.where(kept, groups.pixel_mean, np.nan)
    middle = np.nanmedian(mean, axis=1, keepdims=True)
    spread = 1.4826 * np.nanmedian(np.abs(mean - middle), axis=1, keepdims=True)
    # a group with its outliers in: its own variance says what its pixels do where the model is off
    noisy = groups.pixel_temporal > (raised * np.maximum(expected, groups.temporal))[labels]
    odd = np.abs(mean - middle) > _STUCK * np.maximum(spread, np.nanmedian(spread) * 0.2)
    found = kept & ~clipped[:, None] & (noisy | odd)
    return np.asarray(found.reshape(patches, height, width))


def diagnostics_of(
    fit: Fit, patches: dict[str, Array], intervals: dict[str, tuple[float, float]], dead: int
) -> tuple[Diagnostic, ...]:
    """All that speaks for or against an estimate."""
    found = []
    used = np.isfinite(patches["fitted"])
    chi, relative = misfit(patches)
    dof = max(int(used.sum()) - 2, 1)
    chance = float(chi2.sf(chi, dof))
    text = (
        f"measured and fitted standard deviation differ by {relative:.1%} (weighted rms of {int(used.sum())} patches; "
        f"chi-square {chi:.0f} for {dof} degrees of freedom, p = {chance:.2g})"
    )
    if chance < LEVEL and relative > TOLERANCE:
        found.append(Diagnostic("residual", "failure", f"{text}: the sensor does not follow alpha * mean + sigma^2"))
    elif chance < LEVEL:
        found.append(Diagnostic("residual", "note", f"{text}: more than chance, but under {TOLERANCE:.0%}"))
    if not fit.converged:
        found.append(Diagnostic("not-converged", "failure", "the fit did not settle: levels are too few or too alike"))
    if dead:
        total = int(patches["pixels"].sum()) + dead
        found.append(
            Diagnostic(
                "hot-pixels",
                "warning" if dead > 1e-3 * total else "note",
                f"{dead} of {total} pixels are hot, stuck or flicker, and were left out",
            )
        )
    drift = float(np.nanmax(patches["drift"])) if np.isfinite(patches["drift"]).any() else 0.0
    if drift > DRIFT_NOTE:
        severity = "failure" if drift > DRIFT_FAILURE else "warning" if drift > DRIFT_WARNING else "note"
        found.append(
            Diagnostic(
                "drift",
                severity,  # type: ignore[arg-type]
                f"the light changed by up to {drift:.1%} between frames of a patch; taken out of the noise",
            )
        )
    clipped = (patches["low"] + patches["high"]) > 0.001
    silent = int((~used).sum())
    if clipped.any():
        whole = f", {silent} of them all through, which say nothing of the noise" if silent else ""
        found.append(
            Diagnostic("clipping", "note", f"{int(clipped.sum())} of {len(clipped)} patches are clipped in part{whole}")
        )
    (low, high), alpha = intervals["alpha"], max(float(fit.theta[0]), 0.0)
    brightest = float(np.nanmax(np.where(used, patches["level"], np.nan))) if used.any() else 0.0
    if (high - low) / 2 * brightest > FEW_LEVELS * (alpha * brightest + max(float(fit.theta[1]), 0.0)):
        found.append(
            Diagnostic(
                "few-levels",
                "failure",
                f"the patches' levels are too few or too alike to tell shot from read noise: alpha is {alpha:.3g} "
                f"[{low:.3g}, {high:.3g}]; add darker and brighter exposures",
            )
        )
    dark = used & (patches["low"] > 0.05)
    if dark.any() and alpha > 0 and float(fit.theta[1]) < (HIDDEN * alpha) ** 2:
        found.append(
            Diagnostic(
                "hidden-sigma",
                "failure",
                f"the Gaussian noise is less than a fifth of a photon's step, and dark patches are clipped at black, "
                f"which hides it: sigma may be wrong by a fifth, and its interval too narrow. Give the sensor a black "
                f"level above its noise (an offset), so that {int(dark.sum())} patches are not cut off",
            )
        )
    low, high = intervals["sigma"]
    if low <= 0 < high:
        found.append(
            Diagnostic(
                "sigma-unseen",
                "note",
                f"the Gaussian noise is too small to be seen next to the shot noise: sigma is below {high:.3g}; dark "
                f"frames would tell",
            )
        )
    return tuple(found)


def misfit(patches: dict[str, Array]) -> tuple[float, float]:
    """Chi-square of the residuals, and their relative size beyond what chance makes of it."""
    used = np.isfinite(patches["fitted"]) & (patches["standard_error"] > 0)
    off = (patches["deviation"] - patches["fitted"])[used]
    error, fitted = patches["standard_error"][used], patches["fitted"][used]
    weight = patches["share"][used]
    weight = weight / max(float(weight.sum()), 1e-300)
    excess = float((weight * (off**2 - error**2) / fitted**2).sum())
    return float((off**2 / error**2).sum()), float(np.sqrt(max(excess, 0.0)))


def bounds_of(black: float, white: float, floor: float, step: float) -> Range:
    """Clipping points and step in units of the signal."""
    span = white - black
    return Range((floor - black) / span, 1.0, step / span)
