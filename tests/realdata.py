"""Where the real ECG slices lie, for tests that use them; those tests skip, saying so, where there are none."""

import os
from pathlib import Path

import pytest


def realdata(*parts: str) -> Path:
    """A path below the real slices (LEADBOARD_REALDATA, or ../shared/realdata beside the checkout), or skip."""
    root = Path(os.environ.get("LEADBOARD_REALDATA", Path(__file__).parents[2] / "shared" / "realdata"))
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"real ECG slices are not here ({path}); set LEADBOARD_REALDATA")
    return path
