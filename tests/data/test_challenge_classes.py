"""The 26 scored classes: their codes, their order, and how often each database has them."""

import pandas as pd

from bench.data.challenge_classes import SCORED, by_code, count_positives, published_positives, scored
from bench.data.cinc2021 import CPSC9, SOURCES
from tests.realdata import realdata

ORDER = (
    "AF AFL BBB Brady CLBBB|LBBB CRBBB|RBBB IAVB IRBBB LAD LAnFB LPR LQRSV LQT NSIVCB NSR PAC|SVPB PR PRWP PVC|VPB"
    " QAb RAD SA SB STach TAb TInv"
)
COLUMNS = ("CPSC", "CPSC_Extra", "StPetersburg", "PTB", "PTB_XL", "Georgia", "Chapman_Shaoxing", "Ningbo")


def test_there_are_26_classes_of_30_codes() -> None:
    assert " ".join(SCORED) == ORDER and len(SCORED) == 26
    codes = by_code()
    assert len(codes) == 30 == sum(len(equivalent) for equivalent in SCORED.values())
    assert {name for name, equivalent in SCORED.items() if len(equivalent) == 2} == {
        "CLBBB|LBBB",
        "CRBBB|RBBB",
        "PAC|SVPB",
        "PVC|VPB",
    }
    assert all(len(equivalent) == 1 + name.count("|") for name, equivalent in SCORED.items())
    assert codes["164909002"] == codes["733534002"] == "CLBBB|LBBB" and codes["164889003"] == "AF"
    pvc = next(code for code, name in CPSC9.items() if name == "PVC")
    assert pvc not in codes  # ventricular ectopic beats are not scored


def test_a_class_is_positive_by_any_of_its_codes() -> None:
    assert scored(["59931005", "733534002", "284470004", "63593006", "164884008", "164889003"]) == (
        "AF",
        "CLBBB|LBBB",
        "PAC|SVPB",
        "TInv",
    )
    assert scored(["17338001"]) == scored(["427172004"]) == ("PVC|VPB",)
    assert scored(["164884008"]) == scored([]) == ()


def test_codes_and_their_order_are_the_organisers() -> None:
    table = pd.read_csv(realdata("cinc2021", "dx_mapping_scored.csv"), dtype={"SNOMEDCTCode": str})
    names = table.set_index("SNOMEDCTCode")["Abbreviation"]
    assert set(names.index) == set(by_code())
    for name, equivalent in SCORED.items():
        assert name == "|".join(names[list(equivalent)])


def test_published_positives_are_the_organisers() -> None:
    table = pd.read_csv(realdata("cinc2021", "dx_mapping_scored.csv"), dtype={"SNOMEDCTCode": str})
    table = table.set_index("SNOMEDCTCode")
    for source, column in zip(SOURCES, COLUMNS, strict=True):
        for name, published in published_positives(source).items():
            assert published == sum(table[column][code] for code in SCORED[name]), (source, name)


def test_each_database_lacks_some_classes() -> None:
    carried = [sum(count > 0 for count in published_positives(source).values()) for source in SOURCES]
    assert carried == [6, 20, 9, 5, 22, 23, 19, 25]
    assert published_positives("ptbxl")["NSR"] == 18_092 and published_positives("ningbo")["AF"] == 0


def test_counting_takes_a_code_once_a_record_and_adds_a_class_s_codes() -> None:
    found = count_positives([["164889003", "164889003", "1"], ["284470004", "63593006"], ["63593006"], []])
    assert {name: count for name, count in found.items() if count} == {"AF": 1, "PAC|SVPB": 3}
    assert list(found) == list(SCORED)
