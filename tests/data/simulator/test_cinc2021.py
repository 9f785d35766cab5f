"""The simulated Challenge cohort: who is in it, what its databases name, and recordings of every length."""

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from bench.data.cinc2021 import SOURCES, source_of
from bench.data.simulator import cinc2021
from bench.data.simulator.cinc2021 import MixedBlock, make_block, places
from bench.data.simulator.cinc2021_databases import DATABASES
from bench.data.simulator.cinc2021_facts import (
    CONDITIONS,
    EXCLUSIVE,
    RHYTHM_SHARES,
    RHYTHMS,
    WITHOUT,
    annotates,
    code,
)
from bench.data.simulator.cohort import MOST_RECORDS
from bench.data.simulator.findings import FINDINGS
from bench.data.simulator.rhythms import KINDS, Plan, make_rhythms

MASKS = """
AF 164889003 11111110, AFL 164890007 01011111, BBB 6374002 00110101, Brady 426627000 01100101,
LBBB 733534002|164909002 11001111, RBBB 713427006|59118001 11101111, IAVB 270492004 11001111,
IRBBB 713426002 01001101, LAD 39732003 00001111, LAnFB 445118002 00001101, LPR 164947007 00001011,
LQRSV 251146004 00001111, LQT 111975006 01001111, NSIVCB 698252002 01101111, NSR 426783006 11011111,
PAC 284470004|63593006 11101111, PR 10370003 01001001, PRWP 365413008 00000001,
PVC 427172004|17338001 01000111, QAb 164917005 01001111, RAD 47665007 01001111, SA 427393009 01101101,
SB 426177001 01001111, STach 427084000 01111111, TAb 164934002 01001111, TInv 59931005 01101111
"""
"""Which of the eight databases has any positive of each class, by the Challenge's own counts (spec f.1)."""

CLASSES = dict(re.findall(r"(\w+) ([\d|]+) [01]{8}", MASKS))
HAS = dict(re.findall(r"(\w+) [\d|]+ ([01]{8})", MASKS))
NAMES = (*RHYTHMS, *CONDITIONS)
BLOCKS = 3


@pytest.fixture(scope="module")
def made() -> list[MixedBlock]:
    """Seed 8 has an INCART record in its first block."""
    return [make_block(8, block) for block in range(BLOCKS)]


@pytest.fixture(scope="module")
def rows(made: list[MixedBlock]) -> pd.DataFrame:
    return pd.concat([block.rows for block in made], ignore_index=True)


@pytest.fixture(scope="module")
def signals(made: list[MixedBlock]) -> list[np.ndarray]:
    return [signal for block in made for signal in block.signals]


@cache
def _codes_of(database: str, name: str) -> set[str]:
    return {code(database, name, draw) for draw in np.linspace(0, 1, 101)}


def test_databases_are_the_readers_and_in_its_order() -> None:
    assert list(DATABASES) == list(SOURCES)
    assert list(RHYTHM_SHARES) == list(DATABASES)
    assert all(sum(shares.values()) < 100 for shares in RHYTHM_SHARES.values())
    assert all(facts.whole == 1 or facts.seconds[1] > 0 for facts in DATABASES.values())


def test_each_database_names_the_classes_that_the_real_one_has() -> None:
    assert len(CLASSES) == 26
    for place, database in enumerate(DATABASES):
        written = set().union(*(_codes_of(database, name) for name in NAMES if annotates(database, name)))
        for name, codes in CLASSES.items():
            assert bool(written & set(codes.split("|"))) == (HAS[name][place] == "1"), (database, name)


def test_equivalent_codes_are_used_by_different_databases() -> None:
    for codes in CLASSES.values():
        for one in codes.split("|"):
            assert any(
                one in _codes_of(d, name) for d in DATABASES for name in NAMES if annotates(d, name)
            ), one
    assert _codes_of("cpsc", "RBBB") == {"59118001"} and _codes_of("ptbxl", "RBBB") == {"713427006"}
    assert _codes_of("ningbo", "PVC") == {"427172004"} and _codes_of("georgia", "PVC") == {"17338001"}
    assert _codes_of("cpsc", "PVC") == {"164884008"}  # not scored
    draws = np.random.default_rng(0).random(4000)
    share = np.mean([code("ptbxl", "PAC", draw) == "63593006" for draw in draws])
    assert abs(share - 0.28) < 0.02


def test_everything_that_is_named_can_be_made() -> None:
    assert {finding for facts in CONDITIONS.values() for finding in facts.shows} <= set(FINDINGS)
    assert {finding for finding, _, _ in cinc2021._BORDERLINE} <= set(FINDINGS)
    assert {facts.kind for facts in RHYTHMS.values()} <= set(KINDS)
    assert {name for shares in RHYTHM_SHARES.values() for name in shares} <= set(RHYTHMS)
    assert {facts.else_named for facts in DATABASES.values()} <= set(CONDITIONS)
    assert {name for lost in WITHOUT.values() for name in lost} <= set(CONDITIONS)


def test_records_are_numbered_within_their_database() -> None:
    database, number = places(np.arange(700), seed=8)
    seen = dict.fromkeys(DATABASES, 0)
    for name, k in zip(database, number, strict=True):
        assert k == seen[name]
        seen[name] += 1
    total = sum(facts.share for facts in DATABASES.values())
    for name, facts in DATABASES.items():
        assert abs(seen[name] - 700 * facts.share / total) < 3, name
    later = places(np.arange(640, 700), seed=8)
    assert (later[0] == database[640:]).all() and (later[1] == number[640:]).all()


def test_ids_tell_their_database_in_the_smallest_and_the_largest_cohort(rows: pd.DataFrame) -> None:
    database, number = places(np.arange(MOST_RECORDS["cinc2021-sim"]), seed=0)
    for name, facts in DATABASES.items():
        for k in (0, int(number[database == name].max())):
            record = cinc2021._record(name, k)
            assert source_of(record) == name
            assert re.fullmatch(rf"{facts.prefix}\d{{{facts.digits}}}", record)
    assert rows["record"].is_unique and list(map(source_of, rows["record"])) == list(rows["database"])
    assert cinc2021._path("cpsc", 999) == "training/cpsc_2018/g1/A1000"
    assert cinc2021._path("ningbo", 1000) == "training/ningbo/g2/JS11647"


def test_rhythms_occur_in_each_databases_own_shares() -> None:
    database, number = places(np.arange(3000), seed=1)
    rhythm = cinc2021._rhythms(database, number, seed=1)
    for name, shares in RHYTHM_SHARES.items():
        own = rhythm[database == name]
        for kind, percent in shares.items():
            assert abs((own == kind).sum() - len(own) * percent / 100) <= 3, (name, kind)


def test_codes_are_what_the_heart_has_as_far_as_its_database_names_it(rows: pd.DataFrame) -> None:
    """By explicit loops; and there are findings that a database does not name."""
    unnamed = 0
    for row in rows.itertuples():
        facts = DATABASES[row.database]
        has = set(filter(None, row.conditions.split("+")))
        has |= {"LAD"} if "LAnFB" in has else set()
        expected = [name for name in has if annotates(row.database, name)]
        unnamed += len(has) > len(expected)
        written = row.codes.split(",")
        rest = [one for one in written if not any(one in _codes_of(row.database, n) for n in expected)]
        assert len(written) - len(rest) == len(expected), row
        if row.rhythm != "NSR":
            own = _codes_of(row.database, row.rhythm) if annotates(row.database, row.rhythm) else set()
            assert set(rest) == own, row
        elif rest:
            assert rest == ["426783006"] and (facts.normal == "always" or not expected), row
        else:
            assert facts.normal == "alone" and expected, row
    assert unnamed > 0.1 * len(rows)


def test_a_heart_never_has_what_excludes_each_other(rows: pd.DataFrame) -> None:
    for row in rows.itertuples():
        has = set(row.conditions.split("+"))
        assert all(len(has & set(group)) <= 1 for group in EXCLUSIVE)
        assert not has & set(WITHOUT.get(row.rhythm, ())), row


def test_of_a_group_the_first_is_kept() -> None:
    n = 4000
    rng = np.random.default_rng(0)
    sinus = np.full(n, "NSR", dtype=object)
    has = cinc2021._conditions(np.full(n, "ptbxl", dtype=object), sinus, np.full(n, 58.0), rng)
    share = dict(zip(CONDITIONS, has.mean(axis=0), strict=True))
    mean_ill = np.exp(0.6**2 / 2 - 0.18)
    for name in ("LBBB", "LAnFB", "IAVB", "TAb"):
        assert abs(share[name] - CONDITIONS[name].percent["ptbxl"] / 100 * mean_ill) < 0.012, name
    old = cinc2021._conditions(np.full(n, "ptbxl", dtype=object), sinus, np.full(n, 85.0), rng)
    assert old.mean() > 1.15 * has.mean()


def test_lengths_are_each_databases_own() -> None:
    n = 2000
    for name, facts in DATABASES.items():
        seconds = cinc2021._seconds(np.full(n, name, dtype=object), np.random.default_rng(0))
        _, _, least, most = facts.seconds
        assert seconds.min() >= min(least, 10) and seconds.max() <= max(most, 10), name
        assert abs((seconds == 10).mean() - facts.whole) < 0.05, name
        assert seconds.max() <= cinc2021.STRETCHES[-1]
    cpsc = cinc2021._seconds(np.full(n, "cpsc", dtype=object), np.random.default_rng(1))
    assert 11 < cpsc.mean() < 14 and cpsc.max() > 30 and ((cpsc >= 8) & (cpsc <= 20)).mean() > 0.8


def test_signals_have_the_lengths_drawn(rows: pd.DataFrame, signals: list[np.ndarray]) -> None:
    seconds = pd.Series([signal.shape[1] / 500 for signal in signals])
    assert all(signal.shape[0] == 12 and np.isfinite(signal).all() for signal in signals)
    spans = seconds.groupby(rows["database"]).agg(["min", "max"])
    for name in ("ptbxl", "chapman", "ningbo"):
        assert tuple(spans.loc[name]) == (10, 10)
    assert spans.loc["cpsc", "min"] < 9 and spans.loc["cpsc", "max"] > 14
    assert spans.loc["ptb", "min"] >= 22 and spans.loc["stpetersburg", "min"] >= 90
    assert seconds.mean() < 15


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_long_rhythm_goes_on_to_the_end(kind: str) -> None:
    n, none = 12, np.zeros(12)
    plan = Plan(np.full(n, kind, dtype=object), np.full(n, 200.0), none + 0.15, none + 50, none, none)
    rhythm = make_rhythms(plan, 60, np.random.default_rng(0))
    assert np.nanmax(rhythm.onset, axis=1).min() > 60
    gaps = np.diff(rhythm.onset[:, :150], axis=1)
    first, last = np.nanmean(gaps[:, :60], axis=1), np.nanmean(gaps[:, -60:], axis=1)
    assert np.abs(first / last - 1).max() < 0.25
    if kind in ("fibrillation", "flutter"):
        assert np.nanmax(rhythm.wavelet, axis=1).min() > 60


def test_a_long_record_beats_to_its_end(rows: pd.DataFrame, signals: list[np.ndarray]) -> None:
    long = [signal for signal in signals if signal.shape[1] > 60 * 500]
    assert long
    for signal in long:
        steep = np.abs(np.diff(signal[1])).reshape(-1)
        windows = steep[: len(steep) // 1500 * 1500].reshape(-1, 1500).max(axis=1)  # three seconds each
        assert windows.min() > 0.3 * np.median(windows)


def test_a_record_is_the_same_whoever_makes_it(made: list[MixedBlock]) -> None:
    again = make_block(8, 1)
    pd.testing.assert_frame_equal(again.rows, made[1].rows)
    assert all((a == b).all() for a, b in zip(again.signals, made[1].signals, strict=True))
    other = make_block(9, 1)
    assert other.rows["age"].ne(made[1].rows["age"]).any()


def test_databases_differ_in_noise() -> None:
    factors = np.array([DATABASES["cpsc"].noise, DATABASES["ningbo"].noise]).repeat(40, axis=0)
    quality = cinc2021._quality(factors, np.random.default_rng(0))
    plain = cinc2021._quality(np.ones((80, 3)), np.random.default_rng(0))
    for column, name in enumerate(("wander", "mains", "muscle")):
        assert np.allclose(getattr(quality, name), factors[:, column] * getattr(plain, name))
    assert (quality.burst == plain.burst).all() and (quality.step == plain.step).all()
    assert len({facts.noise for facts in DATABASES.values()}) >= 6


def test_gain_and_offset_are_the_databases(made: list[MixedBlock], monkeypatch: pytest.MonkeyPatch) -> None:
    constant = DATABASES["georgia"].offset
    monkeypatch.setitem(DATABASES, "cpsc", replace(DATABASES["cpsc"], gain=2 * DATABASES["cpsc"].gain))
    monkeypatch.setitem(DATABASES, "georgia", replace(DATABASES["georgia"], offset=0.0))
    changed = make_block(8, 0)
    offsets = []
    for name, before, after in zip(made[0].rows["database"], made[0].signals, changed.signals, strict=True):
        if name == "cpsc":
            assert np.allclose(after, 2 * before)
        elif name == "georgia":
            offsets.append((before - after).mean(axis=1))
            assert np.ptp(before - after, axis=1).max() < 1e-12
        else:
            assert (before == after).all()
    size = np.array(offsets)[:, 0].std() / (np.sqrt(2) * constant)  # lead I has two electrodes
    assert 0.5 < size < 1.6


def test_findings_follow_rhythm_and_conditions() -> None:
    n = 300
    has = np.zeros((n, len(CONDITIONS)), dtype=bool)
    has[:100, list(CONDITIONS).index("LBBB")] = True
    rhythm = np.array(["PR"] * 50 + ["NSR"] * 250, dtype=object)
    severity = cinc2021._severities(rhythm, has, np.random.default_rng(0)).of
    assert (severity["paced"] == (rhythm == "PR")).all()
    assert severity["left bundle block"][:100].min() >= 0.85 and severity["left bundle block"].max() <= 1.0
    assert not severity["left bundle block"][100:].any() and not severity["left anterior block"].any()
    for finding, share, most in cinc2021._BORDERLINE:
        assert abs((severity[finding] > 0).mean() - share) < 0.09, finding
        assert 0.7 * most < severity[finding].max() <= most


def test_only_what_is_premature_comes_early() -> None:
    has = np.zeros((90, len(CONDITIONS)), dtype=bool)
    has[:30, list(CONDITIONS).index("PVC")] = True
    has[30:60, list(CONDITIONS).index("PAC")] = True
    plan = cinc2021._plan(
        np.full(90, "SB", dtype=object), has, np.full(90, 50.0), np.full(90, 0.15), np.random.default_rng(0)
    )
    assert (plan.premature_ventricular > 0).tolist() == [True] * 30 + [False] * 60
    assert (plan.premature_atrial > 0).tolist() == [False] * 30 + [True] * 30 + [False] * 30
    assert plan.rate.max() < 60 and set(plan.kind) == {"sinus"}


def test_an_offset_is_a_constant_that_keeps_einthoven(signals: list[np.ndarray]) -> None:
    for signal in signals[::9]:
        one, two, three, right, left, foot = signal[:6]
        assert np.abs(one + three - two).max() < 1e-9 and np.abs(right + left + foot).max() < 1e-9


def test_patients_differ_between_databases() -> None:
    n = 3000
    rng = np.random.default_rng(0)
    sinus = np.full(n, "NSR", dtype=object)
    people = {
        name: cinc2021._people(np.full(n, name, dtype=object), sinus, rng)
        for name in ("ptb", "georgia", "ningbo")
    }
    mean = {name: age.mean() for name, (age, _) in people.items()}
    assert abs(mean["georgia"] - mean["ningbo"] - 10) < 2
    assert people["georgia"][1].mean() - people["ptb"][1].mean() == pytest.approx(0.19, abs=0.04)
