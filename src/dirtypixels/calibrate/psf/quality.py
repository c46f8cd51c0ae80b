"""Which blocks of a PSF field can be trusted, why not, and what stands in for those that cannot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate import diagnostics as limits
from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.psf.blocks import between

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MISFIT_SHARE = 0.4
"""How much of what noise and PSF do not explain becomes an error of the PSF. Measured with fields that change fast:
0.25 to 0.5 (benchmarks/psf_calibration.py, the lenses of the bundled profiles)."""


@dataclass(frozen=True, eq=False)
class Quality:
    """How good the PSF of each block is; NaN where there is none.

    Args:
        noise: (R, C, channels) predicted relative l2 error by noise: that of the posterior (see `Estimate`) and, where
            the chart does not fill the block, half of what was extrapolated to its middle.
        misfit: (R, C, channels) what neither PSF nor noise explains of the samples, over their standard deviation: the
            PSF changes within the block in another way than its neighbors tell, or something moved.
        residual: (R, C, channels) rms of measured - fitted, over the noise expected.
        failed: (R, C) why the captures give no PSF to rely on, or "".
    """

    noise: Floats
    misfit: Floats
    residual: Floats
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
        usual = np.nanmedian(self.residual, axis=(0, 1), keepdims=True)
        with np.errstate(invalid="ignore"):
            # Where light and lens leave hardly more than the noise, three times of it may still be small.
            odd = np.any(self.residual > limits.BLOCK_RESIDUAL * np.maximum(usual, 1.0), axis=-1)
        found = self.failed.copy()
        for place in np.ndindex(found.shape):
            if found[place]:
                continue
            if odd[place]:
                worst = float(np.nanmax(self.residual[place] / usual[0, 0]))
                found[place] = f"{worst:.0f} times the usual residual: something covers the chart or moved"
            elif self.error[place].max() > limits.BLOCK_ERROR:
                worst = int(self.error[place].argmax())
                noisy = self.noise[place][worst] > self.change[place][worst]
                cause = "too noisy" if noisy else "it changes too fast for so large a block, or something moved"
                found[place] = f"a predicted error of {100 * float(self.error[place][worst]):.0f} %: {cause}"
        return found


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
    if bad := int((~trusted).sum()):
        listed = "; ".join(f"({i + 1}, {j + 1}) {reasons[i, j]}" for i, j in np.argwhere(~trusted)[:6])
        more = f"; and {bad - 6} more" if bad > 6 else ""
        message = (
            f"{bad} of {trusted.size} blocks cannot be trusted and were filled from their neighbors: "
            f"(row, column) {listed}{more}"
        )
        failed = bad > limits.UNTRUSTED_FAILURE * trusted.size
        found.append(Diagnostic("untrusted-blocks", "failure" if failed else "warning", message))
    if not trusted.any():
        return tuple(found)
    error = quality.error[trusted].max(-1)
    message = (
        f"predicted relative error of the PSFs: median {100 * np.median(error):.1f} %, worst of a trusted block "
        f"{100 * error.max():.1f} %"
    )
    found.append(Diagnostic("psf-error", "warning" if np.median(error) > limits.PSF_ERROR else "note", message))
    left = np.median(quality.misfit[trusted].max(-1))
    if MISFIT_SHARE * left > limits.PSF_CHANGES:
        message = (
            f"{100 * left:.0f} % of the chart's contrast are neither noise nor what the PSFs explain: they change fast "
            "over the field (more blocks follow it, several captures make up for the noise of small ones), or "
            "something moved"
        )
        found.append(Diagnostic("psf-changes", "warning", message))
    apart = between(filled(psfs, trusted), np.where(trusted[..., None], quality.error, np.nan)).max(-1)
    if np.median(apart) > limits.PSF_BETWEEN:
        message = (
            "between the blocks, where PSFs are interpolated, they may be off by another "
            f"{100 * np.median(apart):.0f} % (median; up to {100 * apart.max():.0f} %), as they change fast from block "
            "to block; more blocks follow them better"
        )
        found.append(Diagnostic("psf-between", "warning", message))
    rim = 1 - psfs[trusted][..., 1:-1, 1:-1].sum((-2, -1)).min(-1)
    if (rim > limits.PSF_CUT_OFF).any():
        size = psfs.shape[-1]
        message = (
            f"{int((rim > limits.PSF_CUT_OFF).sum())} blocks have more than {100 * limits.PSF_CUT_OFF:.0f} % of their "
            f"light in the outermost taps (up to {100 * rim.max():.0f} %): PSFs are larger than {size} x {size} "
            f"pixels; measure with a size of {size + 8} or more"
        )
        found.append(Diagnostic("psf-cut-off", "warning", message))
    return tuple(found)
