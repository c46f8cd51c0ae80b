"""Which blocks of a PSF field can be trusted, why not, and what stands in for those that cannot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LEAST_INSIDE = 0.3
"""Share of a block that must show the chart."""

MOST_CLIPPED = 0.01
"""Share of a block's pixels that may be saturated."""

MOST_ERROR = 0.15
"""Predicted relative error from which on a PSF says less than its neighbors'."""

MOST_RESIDUAL = 3.0
"""Residual over the field's median from which on something else than the chart is seen."""

MISFIT_SHARE = 0.4
"""How much of what noise and PSF do not explain becomes an error of the PSF. Measured with fields that change fast:
0.25 to 0.5 (benchmarks/psf_calibration.py, the lenses of the bundled profiles)."""

MOST_CHANGE = 0.03
"""Error by the PSF's change within the blocks, median over the field, from which on it is worth a word."""

MOST_BETWEEN = 0.05
"""Error of interpolation between blocks, median over the field, from which on it is worth a word."""

MOST_AT_BORDER = 0.02
"""Share of a PSF in its outermost taps from which on it was cut off."""


@dataclass(frozen=True, eq=False)
class Quality:
    """How good the PSF of each block is; NaN where there is none.

    Args:
        noise: (R, C, channels) predicted relative l2 error by noise: that of the posterior (see `solve.Estimate`) and,
            where the chart does not fill the block, half of what was extrapolated to its middle.
        misfit: (R, C, channels) what neither PSF nor noise explains of the samples, over their standard deviation: the
            PSF changes within the block in another way than its neighbors tell, or something moved.
        residual: (R, C, channels) rms of measured - fitted, over the noise expected.
        inside: (R, C) share of the block that shows the chart, the best of the captures.
        clipped: (R, C) share of the block's pixels that are saturated, the worst of the captures.
        failed: (R, C) why no PSF was found, or "".
    """

    noise: Floats
    misfit: Floats
    residual: Floats
    inside: Floats
    clipped: Floats
    failed: npt.NDArray[np.object_]

    @property
    def change(self) -> Floats:
        """(R, C, channels) predicted relative l2 error by what is not explained, the PSF's change within the block."""
        return np.asarray(MISFIT_SHARE * self.misfit)

    @property
    def error(self) -> Floats:
        """(R, C, channels) predicted relative l2 error of the PSF."""
        return np.asarray(np.hypot(self.noise, self.change))

    def reasons(self) -> npt.NDArray[np.object_]:
        """(R, C) why a block is not to be trusted, in a few words; "" for one that is."""
        found = self.failed.copy()
        usual = np.nanmedian(np.where(np.isfinite(self.residual), self.residual, np.nan), axis=(0, 1), keepdims=True)
        # Where light and lens leave hardly more than the noise, three times of it may still be small.
        odd = self.residual > MOST_RESIDUAL * np.maximum(usual, 1.0)
        with np.errstate(invalid="ignore"):
            noisy = self.error.max(-1) > MOST_ERROR
        for place in np.ndindex(found.shape):
            if self.inside[place] < LEAST_INSIDE:
                found[place] = f"only {100 * self.inside[place]:.0f} % of it lie on the chart"
            elif self.clipped[place] > MOST_CLIPPED:
                found[place] = f"{100 * self.clipped[place]:.1f} % of it are saturated"
            elif found[place]:
                continue
            elif odd[place].any():
                worst = float(np.nanmax(self.residual[place] / usual[0, 0]))
                found[place] = f"{worst:.0f} times the usual residual: something covers the chart or moved"
            elif noisy[place]:
                worst = int(self.error[place].argmax())
                cause = (
                    "too noisy"
                    if self.noise[place][worst] > self.change[place][worst]
                    else "it changes too fast for so large a block, or something moved"
                )
                found[place] = f"a predicted error of {100 * float(self.error[place][worst]):.0f} %: {cause}"
        return found


def between(psfs: Floats, error: Floats) -> Floats:
    """(R, C, channels) relative error of interpolation halfway from a block to its neighbors, at most.

    ``|D| / 8 / |k|``, D the second differences of the blocks' PSFs down and across, less the part that noise makes of
    them; those of an outermost block are its neighbor's, and 0 where there are fewer than 3 blocks. So far a straight
    line is off, and so is the field of `Blocks.nodes` where the PSF changes in kinks or as fast as the blocks; of a
    smooth change, whose parabola the nodes follow, a quarter of it is left.

    Args:
        psfs: (R, C, channels, k, k) of the blocks.
        error: (R, C, channels) their relative errors; NaN where a PSF is not the block's own.
    """
    size = np.linalg.norm(psfs, axis=(-2, -1))
    noise = np.nan_to_num(error * size, nan=0.0) ** 2
    total = np.zeros_like(size)
    for axis in (0, 1):
        if psfs.shape[axis] < 3:
            continue
        bend = (np.diff(psfs, 2, axis=axis) ** 2).sum((-2, -1))
        first, middle, last = (np.take(noise, range(i, noise.shape[axis] - 2 + i), axis) for i in range(3))
        seen = np.maximum(bend - first - 4 * middle - last, 0.0)
        rim = [(0, 0)] * 3
        rim[axis] = (1, 1)
        total += np.pad(seen, rim, mode="edge")
    return np.asarray(np.sqrt(total) / 8 / size)


def filled(values: Floats, trusted: Bools) -> Floats:
    """What is known of blocks, with the others filled from their neighbors.

    ``v = sum_i v_i / d_i^2 / sum_i 1 / d_i^2`` over the 4 nearest trusted blocks (and all as near as the fourth), d the
    distance in blocks. A mean of PSFs is a PSF again: >= 0, sum 1.

    Args:
        values: (R, C, ...).
        trusted: (R, C), at least one True.

    Raises:
        ValueError: no block is trusted.
    """
    if not trusted.any():
        raise ValueError("trusted must be True for at least one block; found none")
    found = np.array(values)
    known = np.argwhere(trusted)
    for place in np.argwhere(~trusted):
        distance = ((known - place) ** 2).sum(1).astype(float)
        near = distance <= np.sort(distance)[:4][-1]
        weights = 1 / distance[near]
        parts = values[tuple(known[near].T)]
        found[tuple(place)] = np.tensordot(weights / weights.sum(), parts, 1)
    return found


def block_diagnostics(quality: Quality, reasons: npt.NDArray[np.object_], psfs: Floats) -> tuple[Diagnostic, ...]:
    """What the blocks say together.

    Args:
        quality: of the blocks.
        reasons: (R, C), of `Quality.reasons`.
        psfs: (R, C, channels, k, k) before any was filled.
    """
    trusted = reasons == ""
    found = []
    bad = int((~trusted).sum())
    if bad:
        listed = "; ".join(f"({i + 1}, {j + 1}) {reasons[i, j]}" for i, j in np.argwhere(~trusted)[:6])
        more = f"; and {bad - 6} more" if bad > 6 else ""
        failure = bad > trusted.size / 3
        found.append(
            Diagnostic(
                "untrusted-blocks",
                "failure" if failure else "warning",
                f"{bad} of {trusted.size} blocks cannot be trusted and were filled from their neighbors: "
                f"(row, column) {listed}{more}",
            )
        )
    if trusted.any():
        error = quality.error[trusted].max(-1)
        found.append(
            Diagnostic(
                "psf-error",
                "warning" if np.median(error) > 0.08 else "note",
                f"predicted relative error of the PSFs: median {100 * np.median(error):.1f} %, worst of a trusted "
                f"block {100 * error.max():.1f} %",
            )
        )
        left = np.median(quality.misfit[trusted].max(-1))
        if MISFIT_SHARE * left > MOST_CHANGE:
            found.append(
                Diagnostic(
                    "psf-changes",
                    "warning",
                    f"{100 * left:.0f} % of the chart's contrast are neither noise nor what the PSFs explain: "
                    "they change fast over the field (more blocks follow it, several captures make up for "
                    "the noise of small ones), or something moved",
                )
            )
        apart = between(filled(psfs, trusted), np.where(trusted[..., None], quality.error, np.nan)).max(-1)
        if np.median(apart) > MOST_BETWEEN:
            found.append(
                Diagnostic(
                    "psf-between",
                    "warning",
                    "between the blocks, where PSFs are interpolated, they may be off by another "
                    f"{100 * np.median(apart):.0f} % (median; up to {100 * apart.max():.0f} %), as they change fast "
                    "from block to block; more blocks follow them better",
                )
            )
        cut = _at_border(psfs[trusted]).max(-1)
        if (cut > MOST_AT_BORDER).any():
            size = psfs.shape[-1]
            found.append(
                Diagnostic(
                    "psf-cut-off",
                    "warning",
                    f"{int((cut > MOST_AT_BORDER).sum())} blocks have more than {100 * MOST_AT_BORDER:.0f} % of their "
                    f"light in the outermost taps (up to {100 * cut.max():.0f} %): PSFs are larger than {size} x "
                    f"{size} pixels; measure with a size of {size + 8} or more",
                )
            )
    return tuple(found)


def _at_border(psfs: Floats) -> Floats:
    """Share of each PSF (..., k, k) in its outermost taps."""
    return np.asarray(1 - psfs[..., 1:-1, 1:-1].sum((-2, -1)))
