"""ELD's calibrated noise parameters of five cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels import checks
from dirtypixels.calibrate.diagnostics import Diagnostic, Kind, Severity
from dirtypixels.calibrate.imports.imported import ImportedNoise
from dirtypixels.calibrate.imports.pickled import read_figures

#: white level less black level in DN that ELD takes for all of its cameras, at 14 bits
RANGE_DN = 16383.0 - 800.0


def eld(
    path: str | Path,
    *,
    base_iso: float | None = None,
    range_dn: float = RANGE_DN,
    iso: npt.ArrayLike | None = None,
    profile: str = "Profile-1",
) -> ImportedNoise:
    """Noise of a camera from one of ELD's files, `NAME_params.npy`, which is read without unpickling.

    ``alpha = K / range_dn``, ``sigma = exp(slope * log K + bias) / range_dn``

    with the system gain K in DN per electron and the file's log-linear fit of the Gaussian read noise in DN over it.
    The files know no ISO: K is taken as proportional to it, from K_min at `base_iso` to K_max.

    Args:
        path: the file.
        base_iso: ISO of the file's smallest gain. It must be given; for ELD's five cameras K_max is 64 K_min, which
            fits ISO 100 to 6400.
        range_dn: white level less black level in DN; ELD's own training code takes 15583 for all its cameras.
        iso: (N,) gains to take, increasing and within the file's range; None takes full stops from `base_iso`.
        profile: which fit of the file; ELD's own code reads "Profile-1".

    Returns:
        One channel, for all colors; diagnostics say what the file has that a Poisson-Gaussian model has not.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not ELD's or holds more than figures, there is no such profile, or an argument is out of
            range.

    Source: Wei, Fu, Yang and Huang 2020, "A Physics-based Noise Formation Model for Extreme Low-light Raw Denoising",
        sec. 4; github.com/Vandermode/ELD, noise.py.
    """
    if base_iso is None:
        raise ValueError(
            "base_iso must be given: ELD's files hold gains in DN per electron and no ISO. In its five cameras the "
            "largest gain is 64 times the smallest, as from ISO 100 to 6400, which base_iso=100 means"
        )
    for name, value in (("base_iso", base_iso), ("range_dn", range_dn)):
        checks.in_range(name, value, low=0.0)
        if value == 0:
            raise ValueError(f"{name} must be above 0; found 0")
    file = Path(path)
    figures = read_figures(file)
    try:
        smallest, largest = (_above_zero(figures, name) for name in ("Kmin", "Kmax"))
        if largest <= smallest:
            raise ValueError(f"Kmax must be above Kmin {smallest:g}; found {largest:g}")
        profiles = [name for name in figures if str(name).startswith("Profile-")]
        checks.one_of("profile", profile, profiles)
        lines = {name: _Line(figures[profile][name]) for name in ("g_scale", "G_scale", "R_scale")}
        shapes, biases = (np.asarray(figures[name], dtype=np.float64) for name in ("G_shape", "color_bias"))
    except (KeyError, TypeError, AttributeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{str(file)!r} is not a parameter file of ELD: {what}") from error
    except ValueError as error:
        raise ValueError(f"{str(file)!r}: {error}") from error
    gains = _gains(iso, base_iso, largest / smallest)
    system = smallest * gains / base_iso
    sigma = lines["g_scale"].at(system)
    name = file.stem.removesuffix("_params")
    source = (
        f"ELD's calibration of {name!r} (Wei et al. 2020, {file.name}, {profile}): system gain K = {smallest:.4g} to "
        f"{largest:.4g} DN per electron, taken as ISO {base_iso:g} to {base_iso * largest / smallest:g}; alpha = K and "
        f"sigma = exp({lines['g_scale'].slope:.4g} log K + {lines['g_scale'].bias:.4g}), both over {range_dn:g} DN"
    )
    diagnostics = _left_out(lines, system, shapes, biases)
    if len(profiles) > 1:
        others = ", ".join(repr(other) for other in profiles if other != profile)
        diagnostics.append(
            Diagnostic("other-profile", "note", f"the file has another fit too, which is not read: {others}")
        )
    if range_dn == RANGE_DN:
        text = (
            f"white less black is taken as {RANGE_DN:g} DN, as ELD does for all its cameras: give yours if it differs"
        )
        diagnostics.append(Diagnostic("range", "note", text))
    return ImportedNoise(
        name, gains, (system / range_dn)[:, None], (sigma / range_dn)[:, None], source, tuple(diagnostics)
    )


class _Line:
    """A fit ``log value = slope log K + bias``, natural logarithms, with the deviation `spread` around it."""

    def __init__(self, figures: dict[str, Any]) -> None:
        self.slope, self.bias, self.spread = (float(figures[name]) for name in ("slope", "bias", "sigma"))
        if not np.isfinite([self.slope, self.bias, self.spread]).all():
            raise ValueError(f"a fit must be finite; found {figures}")

    def at(self, gain: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.exp(self.slope * np.log(gain) + self.bias)


def _above_zero(figures: dict[Any, Any], name: str) -> float:
    value = float(figures[name])
    if not 0 < value < np.inf:
        raise ValueError(f"{name} must be above 0 and finite; found {value:g}")
    return value


def _gains(iso: npt.ArrayLike | None, base_iso: float, ratio: float) -> npt.NDArray[np.float64]:
    if iso is None:
        # to a rounding error ELD's ranges are 6 stops
        stops = np.arange(np.floor(np.log2(ratio) + 1e-6) + 1)
        return base_iso * 2.0**stops
    gains = np.atleast_1d(np.asarray(iso, dtype=np.float64))
    last = base_iso * ratio
    inside = np.isfinite(gains).all() and (gains >= base_iso * (1 - 1e-6)).all() and (gains <= last * (1 + 1e-6)).all()
    if gains.ndim != 1 or not gains.size or not inside or (np.diff(gains) <= 0).any():
        raise ValueError(f"iso must be increasing gains from {base_iso:g} to {last:g}; found {gains.tolist()}")
    return gains


def _left_out(
    lines: dict[str, _Line],
    system: npt.NDArray[np.float64],
    shapes: npt.NDArray[np.float64],
    biases: npt.NDArray[np.float64],
) -> list[Diagnostic]:
    """What ELD models and Poisson-Gaussian noise does not."""
    ends = system[[0, -1]]
    gaussian, rows = lines["g_scale"].at(ends), lines["R_scale"].at(ends)
    shares = " and ".join(
        f"{row:.2g} DN ({row / sigma:.0%} of sigma)" for row, sigma in zip(rows, gaussian, strict=True)
    )
    spread = float(np.exp(lines["g_scale"].spread))
    found: tuple[tuple[Kind, Severity, str], ...] = (
        (
            "spread",
            "note",
            f"sigma is the middle of a fit over gains; single gains lie a factor {spread:.2f} around it",
        ),
        ("row-noise", "warning", f"row noise is left out: {shares} at the smallest and largest gain"),
        (
            "heavy-tails",
            "note",
            f"the shape of read noise is left out: Tukey lambda {shapes.min():.2g} to {shapes.max():.2g}, where 0.14 "
            "is nearly Gaussian and less has heavier tails",
        ),
        ("black-offset", "note", f"black offsets of colors are left out: up to {np.abs(biases).max():.2g} DN"),
        (
            "quantization",
            "note",
            f"rounding (deviation 0.29 DN) is not stated apart; sigma is {gaussian[0]:.2g} DN at the smallest gain",
        ),
    )
    return [Diagnostic(kind, severity, message) for kind, severity, message in found]
