"""The audit finds one patient or one recording in two places, and nothing else."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.signal import butter, resample_poly, sosfiltfilt

from bench.data.audit import (
    CorpusPart,
    Overlap,
    agreement,
    audit,
    find_duplicates,
    refuse_overlap,
    signatures,
)
from bench.data.corpus import CorpusError, PreparedCorpus
from tests.realdata import realdata

Make = Callable[..., CorpusPart]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Builds a prepared corpus in memory's clothes: whatever records, signals in mV, patients."""

    def build(
        name: str,
        records: Sequence[str],
        signals: Sequence[np.ndarray],
        rate: int = 500,
        patients: Sequence[str] | None = None,
        simulated: bool = False,
    ) -> CorpusPart:
        folder = tmp_path / f"{name}-{rate}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        stored = [np.round(signal * 1000).astype(np.int16) for signal in signals]
        np.save(folder / "signals.npy", np.concatenate(stored))
        lengths = [len(signal) for signal in stored]
        table = {
            "record": list(records),
            "patient": list(patients or records),
            "offset": np.cumsum([0, *lengths[:-1]]),
            "length": lengths,
        }
        pd.DataFrame(table).to_parquet(folder / "records.parquet")
        corpus = PreparedCorpus(folder, name, name, str(folder), rate, None, simulated, {}, "", "", {})
        return CorpusPart(corpus, np.arange(len(lengths)))

    return build


def _heart(seed: int, rate: int = 500, seconds: int = 10) -> np.ndarray:
    """(T, 12) mV: an irregular train of a random beat, each lead its own mixture of three waves."""
    generator = np.random.default_rng(seed)
    time = np.arange(seconds * rate) / rate
    onsets = np.cumsum(generator.normal(0.8, 0.08, int(seconds / 0.5)))
    waves = np.zeros((len(time), 3))
    for k, (delay, width) in enumerate(((-0.16, 0.025), (0.0, 0.012), (0.25, 0.05))):
        for onset in onsets:
            waves[:, k] += np.exp(-(((time - onset - delay) / width) ** 2) / 2)
    return waves @ (generator.normal(0, 1, (3, 12)) * np.array([[0.15], [1.0], [0.3]]))


def _evidence(pairs: pd.DataFrame) -> list[tuple[str, str, str]]:
    return [tuple(row) for row in pairs[["record_a", "record_b", "evidence"]].to_numpy()]


def test_a_patient_on_both_sides_of_one_corpus_is_found(make: Make) -> None:
    whole = make("ptbxl", ["1", "2", "3", "4"], [_heart(i) for i in range(4)], patients=["p", "q", "p", "r"])
    corpus = whole.corpus

    overlaps = audit([CorpusPart(corpus, np.array([0, 1]))], [CorpusPart(corpus, np.array([2, 3]))])

    assert len(overlaps) == 1
    assert overlaps[0].patients == ["p"]
    assert _evidence(overlaps[0].pairs) == [("1", "3", "patient")]
    assert overlaps[0].pairs[["row_a", "row_b"]].to_numpy().tolist() == [[0, 2]]


def test_a_clean_plan_passes(make: Make) -> None:
    whole = make("ptbxl", ["1", "2", "3", "4"], [_heart(i) for i in range(4)])
    other = make("georgia", ["E1", "E2"], [_heart(10), _heart(11)])

    overlaps = audit(
        [CorpusPart(whole.corpus, np.array([0, 1])), other], [CorpusPart(whole.corpus, np.array([2, 3]))]
    )

    assert overlaps == []
    refuse_overlap(overlaps)


def test_equal_patient_ids_of_different_corpora_mean_nothing(make: Make) -> None:
    a = make("ptbxl", ["a"], [_heart(0)], patients=["17"])
    b = make("hospital", ["b"], [_heart(1)], patients=["17"])
    assert find_duplicates(a, b).empty


def test_an_empty_part_overlaps_with_nothing(make: Make) -> None:
    a = make("ptbxl", ["1"], [_heart(0)])
    nothing = CorpusPart(a.corpus, np.array([], dtype=int))
    for pair in ((a, nothing), (nothing, a), (nothing, nothing)):
        assert find_duplicates(*pair).empty


def test_challenge_ids_lead_to_ptbxl_s_patients_both_ways(make: Make) -> None:
    ptbxl = make("ptbxl", ["1", "2", "30"], [_heart(i) for i in range(3)], patients=["p", "p", "q"])
    cinc = make("cinc2021", ["HR00002", "HR00031", "E00030"], [_heart(i) for i in range(5, 8)])

    assert _evidence(find_duplicates(cinc, ptbxl)) == [
        ("HR00002", "1", "patient"),
        ("HR00002", "2", "patient"),
    ]
    assert _evidence(find_duplicates(ptbxl, cinc)) == [
        ("1", "HR00002", "patient"),
        ("2", "HR00002", "patient"),
    ]


def test_challenge_ids_lead_to_chapman_s_rows(make: Make) -> None:
    chapman = make("chapman", ["JS00007", "JS00008"], [_heart(0), _heart(1)], patients=["JS00007", "JS00007"])
    cinc = make("cinc2021", ["JS00008", "HR00007"], [_heart(2), _heart(3)])
    assert _evidence(find_duplicates(cinc, chapman)) == [
        ("JS00008", "JS00007", "patient"),
        ("JS00008", "JS00008", "patient"),
    ]


def test_a_third_corpus_of_the_plan_tells_whose_records_they_are(make: Make) -> None:
    ptbxl = make("ptbxl", ["1", "2", "3"], [_heart(i) for i in range(3)], patients=["p", "p", "q"])
    cinc = make("cinc2021", ["HR00001", "HR00002"], [_heart(5), _heart(6)])
    train, test = (CorpusPart(cinc.corpus, np.array([row])) for row in (0, 1))
    other = CorpusPart(ptbxl.corpus, np.array([2]))

    assert audit([train], [test]) == []  # nothing says that 1 and 2 are one patient
    assert [(o.training, o.testing, o.patients) for o in audit([train, other], [test])] == [
        ("cinc2021", "cinc2021", ["HR00002"])
    ]


def test_a_challenge_record_that_bears_ptbxl_s_patient_is_theirs(make: Make) -> None:
    """HR00500 lies in no PTB-XL folder of the plan; its patient, by PTB-XL's table, does."""
    ptbxl = make("ptbxl", ["1", "2"], [_heart(0), _heart(1)], patients=["700", "701"])
    ids, patients = ["HR00500", "HR00501", "E00001"], ["700", "HR00501", "701"]
    cinc = make("cinc2021", ids, [_heart(i) for i in range(5, 8)], patients=patients)
    assert _evidence(find_duplicates(cinc, ptbxl)) == [("HR00500", "1", "patient")]
    hospital = make("hospital", ["x"], [_heart(9)], patients=["700"])
    assert find_duplicates(cinc, hospital).empty


@pytest.mark.parametrize("level", [0.1, 0.012, -1.7])
def test_a_flat_lead_has_no_signature_whatever_its_level(level: float) -> None:
    signal = _heart(1).astype(np.float32)
    signal[:, 1] = level
    marks = signatures([signal], 500)
    assert marks.shape == (1, 2, 101) and marks[0, 0].any() and not marks[0, 1].any()
    assert not signatures([signal], 24).any()
    np.testing.assert_allclose(np.linalg.norm(marks[0, 0]), 1, rtol=1e-5)


def test_agreement_is_of_partners() -> None:
    hearts = [_heart(i) for i in range(4)]
    marks = signatures(hearts, 500)
    copies = signatures([resample_poly(heart, 1, 5, axis=0) for heart in hearts], 100)
    copies[2, 1] = 0
    copies[3] = 0
    found = agreement(marks, copies)
    assert (found[:3] > 0.99).all() and np.isnan(found[3])
    assert (agreement(marks[[0, 1, 2]], copies[[1, 2, 0]]) < 0.9).all()


def test_simulated_ids_are_no_real_patients(make: Make) -> None:
    ptbxl = make("ptbxl", ["1"], [_heart(0)])
    simulated = make("cinc2021-sim", ["HR00001"], [_heart(1)], simulated=True)
    assert find_duplicates(simulated, ptbxl).empty


def test_the_same_signal_is_found_under_any_name(make: Make) -> None:
    signals = [_heart(i) for i in range(6)]
    a = make("one", [f"a{i}" for i in range(6)], signals)
    b = make("two", ["x", "y"], [_heart(9), signals[4]])
    assert _evidence(find_duplicates(a, b)) == [("a4", "y", "signal")]


def test_signals_that_never_move_are_not_one_patient(make: Make) -> None:
    a = make("one", ["a"], [np.zeros((1000, 12))])
    b = make("two", ["b", "c"], [np.zeros((1000, 12)), np.full((1000, 12), 0.3)])
    assert find_duplicates(a, b).empty


def _filtered(signal: np.ndarray) -> np.ndarray:
    return sosfiltfilt(butter(2, (0.5, 40), "band", fs=500, output="sos"), signal, axis=0)


def _wandering(signal: np.ndarray) -> np.ndarray:
    return signal + 0.8 * np.sin(2 * np.pi * 0.3 * np.arange(len(signal)) / 500)[:, None]


@pytest.mark.parametrize(
    ("change", "rate"),
    [
        (lambda x: resample_poly(x, 1, 5, axis=0), 100),
        (lambda x: resample_poly(x, 257, 500, axis=0)[:2570], 257),
        (_filtered, 500),
        (_wandering, 500),
        (lambda x: 0.4 * x, 500),
        (lambda x: x[230:], 500),
        (lambda x: np.concatenate([np.zeros((400, 12)), x]), 500),
    ],
    ids=["100 Hz", "257 Hz", "filtered", "baseline", "gain", "cut", "late"],
)
def test_a_recording_is_known_again(
    make: Make, change: Callable[[np.ndarray], np.ndarray], rate: int
) -> None:
    originals = [_heart(i, seconds=12) for i in range(20)]
    a = make("one", [f"a{i}" for i in range(20)], originals, 500)
    b = make("two", ["x", "y"], [change(originals[13]), change(_heart(99, seconds=12))], rate)

    pairs = find_duplicates(a, b)

    assert _evidence(pairs) == [("a13", "x", "signature")]
    assert 0.97 <= pairs["correlation"].item() <= 1 + 1e-6


@pytest.mark.parametrize("flat", [0, 1])
@pytest.mark.parametrize("flat_in_first", [False, True])
def test_a_recording_with_lead_i_or_ii_off_is_known_by_the_other(
    make: Make, flat: int, flat_in_first: bool
) -> None:
    whole = [_heart(i) for i in range(20)]
    copy = resample_poly(whole[13], 1, 5, axis=0)
    copy[:, flat] = 0.2
    a, b = make("one", [f"a{i}" for i in range(20)], whole), make("two", ["x"], [copy], 100)
    pairs = find_duplicates(b, a) if flat_in_first else find_duplicates(a, b)
    expected = ("x", "a13") if flat_in_first else ("a13", "x")
    assert _evidence(pairs) == [(*expected, "signature")]


def test_recordings_without_a_common_moving_lead_are_not_compared(make: Make) -> None:
    heart, other = _heart(0), _heart(0)
    heart[:, 0], other[:, 1] = 0, 0
    both = _heart(0)
    both[:, :2] = 0
    a, b = make("one", ["a"], [heart]), make("two", ["b", "c"], [other, both])
    assert find_duplicates(a, b).empty


def test_records_shorter_than_the_signature_are_compared(make: Make) -> None:
    signals = [_heart(i, seconds=6) for i in range(8)]
    a = make("one", [f"a{i}" for i in range(8)], signals, 500)
    b = make("two", ["x"], [resample_poly(signals[3], 1, 5, axis=0)], 100)
    assert _evidence(find_duplicates(a, b)) == [("a3", "x", "signature")]


def test_a_refusal_is_one_line_that_counts_and_names() -> None:
    pairs = pd.DataFrame({"patient_b": [str(i) for i in range(7)], "evidence": ["patient"] * 6 + ["signal"]})
    with pytest.raises(CorpusError) as refused:
        refuse_overlap([Overlap("cinc2021", "ptbxl", pairs)])
    assert str(refused.value) == (
        "7 test patients are also in training on cinc2021, by patient, signal: 0 (ptbxl), 1 (ptbxl), "
        "2 (ptbxl), 3 (ptbxl), 4 (ptbxl), ...; take their records out of training, or test elsewhere"
    )


def test_a_patient_found_twice_counts_once() -> None:
    pairs = pd.DataFrame({"patient_b": ["5", "5"], "evidence": ["signature", "signal"]})
    with pytest.raises(
        CorpusError, match=r"^1 test patient is also in training on a, b, by signal, signature: 5"
    ):
        refuse_overlap([Overlap("a", "ptbxl", pairs), Overlap("b", "ptbxl", pairs)])


def _read(folder: Path, names: str = "*") -> tuple[list[str], list[np.ndarray]]:
    import wfdb

    stems = sorted(path.with_suffix("") for path in folder.rglob(f"{names}.hea"))
    return [stem.name for stem in stems], [wfdb.rdsamp(str(stem))[0] for stem in stems]


@pytest.fixture(scope="module")
def ptbxl_100() -> tuple[list[str], list[np.ndarray]]:
    return _read(realdata("ptbxl", "records100"))


def test_real_duplicates_and_only_these_are_found_across_rates(
    make: Make, ptbxl_100: tuple[list[str], list[np.ndarray]]
) -> None:
    """By signal alone: HR00001-HR00010 at 500 Hz are PTB-XL 1-10 at 100 Hz; no other real record matches."""
    ptbxl = make("x", *ptbxl_100, 100)
    cinc = make("y", *_read(realdata("cinc2021", "WFDB_PTBXL")))
    georgia = make("z", *_read(realdata("cinc2021", "WFDB_Ga")))

    assert _evidence(find_duplicates(cinc, ptbxl)) == [
        (f"HR{number:05d}", f"{number:05d}_lr", "signature") for number in range(1, 11)
    ]
    assert find_duplicates(georgia, ptbxl).empty


def test_the_duplicates_that_ptbxl_removed_are_found_with_their_twins(
    make: Make, ptbxl_100: tuple[list[str], list[np.ndarray]]
) -> None:
    twins = [(137, 138), (143, 144), (145, 463), (456, 457), (459, 460)]
    removed = make("removed", *_read(realdata("ptbxl_removed_duplicates", "records500")))
    kept = make("kept", *_read(realdata("ptbxl", "records500"), "00[14][3-6]*"))
    kept_100 = make("kept", *ptbxl_100, 100)

    for part, rate, evidence in ((kept, "hr", "signal"), (kept_100, "lr", "signature")):
        assert _evidence(find_duplicates(removed, part)) == [
            (f"{a:05d}_hr", f"{b:05d}_{rate}", evidence) for a, b in twins
        ]


@pytest.mark.parametrize("flat", [0, 1])
def test_real_records_are_known_by_one_lead_and_none_is_mistaken(
    make: Make, ptbxl_100: tuple[list[str], list[np.ndarray]], flat: int
) -> None:
    names, signals = ptbxl_100
    copies = [np.where(np.arange(12) == flat, 0, signal) for signal in signals]

    pairs = find_duplicates(make("kept", names, signals, 100), make("copies", names, copies, 100))

    assert pairs["row_a"].tolist() == pairs["row_b"].tolist() == list(range(len(names)))
    assert set(pairs["evidence"]) == {"signature"}


def test_no_two_of_488_real_records_are_taken_for_one(
    make: Make, ptbxl_100: tuple[list[str], list[np.ndarray]]
) -> None:
    kept = make("kept", *ptbxl_100, 100)
    again = make("again", *ptbxl_100, 100)  # the same files, so that ids tell nothing

    pairs = find_duplicates(kept, again)

    assert pairs["row_a"].tolist() == pairs["row_b"].tolist() == list(range(len(ptbxl_100[0])))
    assert set(pairs["evidence"]) == {"signal"}
