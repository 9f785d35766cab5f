"""Lead names in any order and spelling, and the named lead sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.leads import LEAD_SETS, LEADS, lead_positions, lead_set


def test_the_standard_order_maps_to_itself() -> None:
    assert lead_positions(LEADS) == list(range(12))


@given(order=st.permutations(range(12)), upper=st.lists(st.booleans(), min_size=12, max_size=12))
def test_any_order_and_spelling_is_found(order: list[int], upper: list[bool]) -> None:
    names = [LEADS[k].upper() if up else f" {LEADS[k].lower()}" for k, up in zip(order, upper, strict=True)]

    positions = lead_positions(names)

    assert [names[position].strip().lower() for position in positions] == [lead.lower() for lead in LEADS]


def test_a_missing_lead_is_named() -> None:
    with pytest.raises(ValueError, match=r"lead V6 missing \(11 leads present\)"):
        lead_positions(LEADS[:-1])


def test_a_doubled_lead_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        lead_positions([*LEADS, "AVR"])


def test_an_unknown_lead_is_named() -> None:
    with pytest.raises(ValueError, match="unknown lead 'V7'"):
        lead_positions([*LEADS[:-1], "V7"])


@pytest.mark.parametrize("name", LEAD_SETS)
def test_a_lead_set_gives_the_positions_of_its_leads(name: str) -> None:
    assert tuple(LEADS[position] for position in lead_set(name)) == LEAD_SETS[name]


def test_sizes_of_the_named_sets() -> None:
    sizes = {"all-12": 12, "challenge-6": 6, "challenge-4": 4, "challenge-3": 3, "challenge-2": 2}
    assert {name: len(lead_set(name)) for name in sizes} == sizes
    assert lead_set("clocs-4") == [1, 7, 4, 3]  # II, V2, aVL, aVR: CLOCS's own order, not that of LEADS


def test_an_unknown_lead_set_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no lead set 'limb'; there are: all-12, .*lead-II"):
        lead_set("limb")
