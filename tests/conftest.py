"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Data for measuring, no part of the repository: $DIRTYPIXELS_DATA, or ../shared/data from the project's root."""
    folder = Path(os.environ.get("DIRTYPIXELS_DATA", _DEFAULT))
    if not folder.is_dir():
        pytest.skip(f"measuring data are absent: no folder {folder} (set DIRTYPIXELS_DATA to where they are)")
    return folder
