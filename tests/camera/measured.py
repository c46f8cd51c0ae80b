"""A profile as a calibration leaves it: channels of their own, a lens, and the records of both."""

from __future__ import annotations

import json
from typing import Any

import torch

from dirtypixels.camera import Camera, ProfileFile, gaussian_psf

LEVEL = {
    "alpha_interval": [1e-3, 3e-3], "sigma_interval": [3e-3, 7e-3], "black": 64.0, "passed": True, "reason": "none",
}  # fmt: skip
RECORD: dict[str, Any] = {
    "date": "2026-01-01T00:00:00Z",
    "software": "dirtypixels",
    "method": "frame pairs",
    "passed": True,
    "reason": "no check failed",
    "confidence": 0.95,
    "diagnostics": [{"kind": "drift", "severity": "note", "message": "the light drifted by 0.1 %"}],
    "captures": [{"file": "a.dng", "sha256": "ab", "iso": 100.0, "exposure_s": 0.01, "exif": {"Model": "X"}}],
    "levels": [
        {"iso": 100.0, "channel": c, "alpha": a, "sigma": s, **LEVEL}
        for c, a, s in zip("RGB", (1e-3, 2e-3, 3e-3), (4e-3, 5e-3, 6e-3), strict=True)
    ],
}
OPTICS: dict[str, Any] = {
    "chart": {"seed": 0},
    "alignment_rms_px": 0.02,
    "trusted": [[True, False], [True, True]],
    "residual": [[1.0, None], [1.0, 1.1]],
    "quality": [[0.02, None], [0.01, 0.03]],
}
MEASURED: dict[str, Any] = {
    "schema_version": 2,
    "name": "bench camera",
    "noise": {"gains": [{"iso": 100, "alpha": [1e-3, 2e-3, 3e-3], "sigma": [4e-3, 5e-3, 6e-3]}], "source": "measured"},
    "exposure": {"reference_lux": 2000, "base_iso": 100, "source": "assumed"},
    "optics": {"rows": 2, "columns": 2, "pitch_um": 1.4, "source": "measured"},
    "calibration": {
        "noise": RECORD,
        "optics": {**{k: RECORD[k] for k in ("date", "software", "method", "passed", "reason")}, "optics": OPTICS},
    },
}
PSFS = gaussian_psf(0.5).expand(2, 2, 1, 5, 5).clone()


def camera(profile: dict[str, Any] = MEASURED, psfs: torch.Tensor | None = PSFS) -> Camera:
    return Camera(ProfileFile.model_validate_json(json.dumps(profile)), psfs)
