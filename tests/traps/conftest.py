"""A simulated PTB-XL for every module of traps."""

import pytest

from tests.traps import simulated_ptbxl


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "traps"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def ptbxl(home):
    """120 simulated records, 96 of them in folds 1 to 8."""
    return simulated_ptbxl(home)[1]
