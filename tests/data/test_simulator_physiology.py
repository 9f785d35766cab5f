"""Whether simulated hearts do what the textbook says: leads, waves, rhythms and each disease's own signs."""

import dataclasses

import numpy as np
import pytest

from bench.data.leads import LEADS
from bench.data.simulator import chapman, findings, ptbxl_facts
from bench.data.simulator.activity import ectopic_beats, ventricular_waves
from bench.data.simulator.blocks import bounded_normal, spread_classes
from bench.data.simulator.dipole import DOWER, Waves, project, render, rotation, twelve
from bench.data.simulator.heart import Heart, normal_hearts, wave
from bench.data.simulator.measure import frontal_axis, qrs_span, ventricular_rate
from bench.data.simulator.recording import TO_LEADS, noise, recording_conditions
from bench.data.simulator.rhythms import BEATS, Plan, Rhythm, make_rhythms

PEOPLE = 120
QRS_END = 0.13  # s after QRS onset: between QRS and T in a heart without conduction disease


def hearts(n: int = PEOPLE, **severities: float) -> Heart:
    """Middle-aged hearts, the same whatever they suffer from."""
    rng = np.random.default_rng(1)
    heart = normal_hearts(np.full(n, 50.0), np.arange(n) % 2 == 0, rng)
    named = {name.replace("_", " "): np.full(n, severity) for name, severity in severities.items()}
    findings.apply(heart, named)
    return heart


def one_beat(heart: Heart) -> dict[str, np.ndarray]:
    """Each lead's average (600,) over hearts, mV at 1000 Hz: one beat at 60 bpm, QRS onset at 100 ms."""
    n = len(heart.pr)
    onset = np.full((n, 1), 0.1)
    blank = np.full((n, 1), np.nan)
    rhythm = Rhythm(onset, np.ones((n, 1)), np.zeros((n, 1), bool), blank, blank, blank, np.zeros(n, bool))
    waves = ventricular_waves(heart, rhythm, np.ones((n, 1)), ectopic_beats(heart, np.random.default_rng(0)))
    signal = twelve(project(render(waves, n, 600, 1000), heart.leads)).mean(axis=0)
    return dict(zip(LEADS, signal, strict=True))


def st_level(beat: np.ndarray) -> float:
    return float(beat[100 + 130 : 100 + 170].mean())


def t_wave(beat: np.ndarray) -> float:
    """The T wave's largest deflection, with its sign."""
    part = beat[100 + 230 : 100 + 450]
    return float(part[np.abs(part).argmax()])


def test_render_is_the_sum_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    w = 25
    waves = Waves(
        record=rng.integers(0, 3, w),
        centre=rng.uniform(-0.1, 1.1, w),
        rise=rng.uniform(0.005, 0.14, w),
        fall=rng.uniform(0.005, 0.14, w),
        vector=rng.normal(size=(w, 3)),
    )
    expected = np.zeros((3, 3, 250))
    for k in range(w):
        late = np.arange(250) / 250 - waves.centre[k]
        width = np.where(late < 0, waves.rise[k], waves.fall[k])
        expected[waves.record[k]] += waves.vector[k][:, None] * np.exp(-0.5 * (late / width) ** 2)
    assert np.abs(render(waves, 3, 250, 250) - expected).max() < 0.005


def test_a_wave_too_wide_to_draw_is_an_error() -> None:
    one = np.ones(1)
    with pytest.raises(ValueError, match="wider"):
        render(Waves(np.zeros(1, int), one, 0.2 * one, 0.1 * one, np.ones((1, 3))), 1, 100, 100)


def test_leads_obey_einthoven_exactly() -> None:
    dipole = np.random.default_rng(0).normal(size=(4, 3, 50))
    one, two, three, right, left, foot = twelve(project(dipole, np.stack([DOWER] * 4)))[:, :6].transpose(
        1, 0, 2
    )
    assert np.abs(one + three - two).max() < 1e-15 * 100
    assert np.abs(right + left + foot).max() < 1e-15 * 100
    assert np.allclose(right, -(one + two) / 2) and np.allclose(foot, (two + three) / 2)


def test_projection_is_a_scalar_product() -> None:
    dipole = np.random.default_rng(0).normal(size=(2, 3, 7))
    leads = project(dipole, np.stack([DOWER, 2 * DOWER]))
    assert np.allclose(leads[1, 4, 3], 2 * sum(DOWER[4, k] * dipole[1, k, 3] for k in range(3)))


def test_rotation_turns_without_stretching() -> None:
    angle = np.array([30.0, -80.0])
    turned = rotation(angle, angle / 2, -angle)
    assert np.allclose(turned @ turned.transpose(0, 2, 1), np.eye(3))
    down = rotation(np.array([90.0]), np.zeros(1), np.zeros(1))[0] @ [1, 0, 0]
    assert np.allclose(down, [0, 1, 0])  # left turned to the feet


def test_electrode_noise_leaves_einthoven_alone_and_has_its_size() -> None:
    rng = np.random.default_rng(0)
    still = dataclasses.replace(recording_conditions(40, rng), burst=np.zeros(40), step=np.zeros(40))
    leads = noise(still, 5000, 500, rng)
    assert leads.shape == (40, 8, 5000)
    assert 0.5 < leads[:, 2:].std(axis=(1, 2)).mean() / np.hypot(still.wander, still.muscle).mean() < 2.5
    assert np.allclose(TO_LEADS @ np.ones(9), 0)  # what all electrodes share is seen by no lead


def test_age_and_sex_shift_the_waves() -> None:
    n = 3000
    rng = np.random.default_rng(0)
    age, female = rng.uniform(20, 90, n), rng.random(n) < 0.5
    heart = normal_hearts(age, female, rng)
    t = wave("t")
    axis, qt = frontal_axis(heart, ("q", "r", "rs", "s")), heart.centre[:, t] + 2 * heart.fall[:, t]
    size = np.linalg.norm(heart.vector, axis=2)
    slope = np.polyfit(age, axis, 1)[0]
    assert -0.9 < slope < -0.4  # real: -0.65 degrees a year
    assert np.corrcoef(age, heart.pr)[0, 1] > 0.2 and np.corrcoef(age, qt)[0, 1] > 0.1
    assert 0.005 < qt[female].mean() - qt[~female].mean() < 0.025
    assert size[female][:, t].mean() < size[~female][:, t].mean()
    assert size[female][:, wave("rs")].mean() < size[~female][:, wave("rs")].mean()
    start, end = qrs_span(heart)
    assert (end - start)[female].mean() < (end - start)[~female].mean()


def test_a_normal_beat_looks_normal() -> None:
    beat = one_beat(hearts())
    assert beat["V1"].min() < -0.6 and 0.05 < beat["V1"].max() < 0.5  # rS
    assert beat["V6"].max() > 0.6 and -0.2 < beat["V6"][:125].min() < -0.005  # qR
    growing = [beat[lead].max() for lead in ("V1", "V2", "V3", "V4")]
    assert growing == sorted(growing)
    assert all(t_wave(beat[lead]) > 0.05 for lead in ("I", "II", "V3", "V4", "V5", "V6"))
    assert t_wave(beat["aVR"]) < -0.05


@pytest.mark.parametrize("name", sorted(findings.FINDINGS))
def test_severity_nought_changes_nothing_and_one_does(name: str) -> None:
    before, still = hearts(8), hearts(8, **{name: 0.0})
    ill = hearts(8, **{name: 1.0})
    arrays = [field.name for field in dataclasses.fields(Heart)]
    for array in arrays:
        assert np.allclose(getattr(before, array), getattr(still, array), atol=1e-12), array
    assert any(np.abs(getattr(before, array) - getattr(ill, array)).max() > 0.001 for array in arrays)


def test_an_unknown_finding_is_an_error() -> None:
    with pytest.raises(KeyError, match="no finding"):
        findings.apply(hearts(2), {"gout": np.ones(2)})


def test_every_finding_that_a_code_shows_exists() -> None:
    asked = [facts.shows for facts in chapman.CONDITIONS.values()]
    asked += [facts.shows for facts in (*ptbxl_facts.DIAGNOSES.values(), *ptbxl_facts.FORMS.values())]
    assert {name for shows in asked for name in shows} <= set(findings.FINDINGS)


def test_right_bundle_block() -> None:
    beat = one_beat(hearts(right_bundle_block=1.0))
    late = slice(100 + 85, 100 + 125)
    assert beat["V1"][late].max() > 0.3  # R'
    assert beat["I"][late].min() < -0.15 and beat["V6"][late].min() < -0.2  # broad S
    assert t_wave(beat["V1"]) < 0
    start, end = qrs_span(hearts(right_bundle_block=1.0))
    assert 0.12 < (end - start).mean() < 0.16


def test_left_bundle_block() -> None:
    beat = one_beat(hearts(left_bundle_block=1.0))
    assert beat["V6"][:150].min() > -0.05 and beat["I"][:150].min() > -0.05  # no septal q
    assert beat["V1"].min() < -0.8 and beat["V1"][:200].max() < 0.15
    assert t_wave(beat["V1"]) > 0.2 and t_wave(beat["V6"]) < -0.1 and t_wave(beat["I"]) < -0.1
    start, end = qrs_span(hearts(left_bundle_block=1.0))
    assert 0.12 < (end - start).mean() < 0.18


def test_fascicular_blocks_turn_the_axis() -> None:
    left = frontal_axis(hearts(left_anterior_block=1.0), ("q", "r", "rs", "s"))
    right = frontal_axis(hearts(left_posterior_block=1.0), ("q", "r", "rs", "s"))
    assert np.median(left) < -40 and 90 < np.median(right) < 180


def test_preexcitation_and_the_slow_node_change_pr() -> None:
    assert hearts(preexcitation=1.0).pr.mean() < 0.12 < hearts().pr.mean() < 0.20
    assert hearts(slow_node=1.0).pr.min() > 0.20


@pytest.mark.parametrize(
    ("wall", "leads", "opposite"),
    [
        ("inferior", ("II", "III", "aVF"), "aVL"),
        ("anteroseptal", ("V1", "V2", "V3"), None),
        ("lateral", ("I", "aVL"), "III"),
    ],
)
def test_infarcts_show_over_their_wall(wall: str, leads: tuple[str, ...], opposite: str | None) -> None:
    healthy, scarred = one_beat(hearts()), one_beat(hearts(**{f"scar_{wall}": 1.0}))
    raised = one_beat(hearts(**{f"injury_{wall}": 1.0}))
    turned = one_beat(hearts(**{f"inversion_{wall}": 1.0}))
    for lead in leads:
        assert scarred[lead][100:130].min() < healthy[lead][100:130].min() - 0.1  # Q, or R lost
        assert st_level(raised[lead]) > st_level(healthy[lead]) + 0.08
        assert t_wave(turned[lead]) < 0 or t_wave(turned[lead]) < t_wave(healthy[lead]) - 0.2
    if opposite:
        assert st_level(raised[opposite]) < st_level(healthy[opposite])


def test_a_posterior_infarct_mirrors_in_v1_and_v2() -> None:
    healthy, scarred = one_beat(hearts()), one_beat(hearts(scar_posterior=1.0))
    for lead in ("V1", "V2"):
        assert scarred[lead].max() > healthy[lead].max() + 0.2
        assert scarred[lead].min() > healthy[lead].min()


def test_left_hypertrophy_has_voltage_and_strain_turns_t() -> None:
    def sokolow(beat: dict[str, np.ndarray]) -> float:
        return float(-beat["V1"].min() + max(beat["V5"].max(), beat["V6"].max()))

    healthy, large = one_beat(hearts()), one_beat(hearts(left_hypertrophy=1.0, strain=1.0))
    assert sokolow(healthy) < 3.0 < 3.5 < sokolow(large)
    for lead in ("I", "V5", "V6"):
        assert t_wave(large[lead]) < 0 and st_level(large[lead]) < -0.02


def test_right_hypertrophy_has_r_in_v1_and_s_in_v6() -> None:
    beat = one_beat(hearts(right_hypertrophy=1.0))
    assert beat["V1"].max() > -beat["V1"].min() and beat["V6"].min() < -0.3
    assert t_wave(beat["V2"]) < 0


def test_repolarisation_findings() -> None:
    healthy = one_beat(hearts())
    assert abs(t_wave(one_beat(hearts(flat_t=1.0))["V5"])) < 0.35 * t_wave(healthy["V5"])
    assert st_level(one_beat(hearts(st_depression=1.0))["V5"]) < st_level(healthy["V5"]) - 0.08
    latest = {
        name: int(one_beat(hearts(**{name: 1.0}))["II"][330:].argmax()) for name in ("long_qt", "digitalis")
    }
    assert latest["long_qt"] > int(healthy["II"][330:].argmax()) + 45 > latest["digitalis"] + 45


def rhythms(kind: str, rate: float, n: int = 200, **changes: np.ndarray) -> Rhythm:
    none = np.zeros(n)
    plan = Plan(
        np.full(n, kind, dtype=object), np.full(n, rate), np.full(n, 0.15), np.full(n, 50.0), none, none
    )
    return make_rhythms(dataclasses.replace(plan, **changes), 10, np.random.default_rng(2))


def variation(times: np.ndarray) -> np.ndarray:
    """Coefficient of variation of the intervals of each row."""
    gaps = np.diff(times[:, :20], axis=1)
    return np.nanstd(gaps, axis=1) / np.nanmean(gaps, axis=1)


def test_every_rhythm_covers_the_recording_in_order() -> None:
    kinds = [facts.kind for facts in (*chapman.RHYTHMS.values(), *ptbxl_facts.RHYTHMS.values())]
    for kind in sorted(set(kinds)):
        for rate in (40.0, 240.0):
            onset = rhythms(kind, rate, 60).onset
            gaps = np.diff(onset, axis=1)
            assert onset.shape == (60, BEATS) and (gaps[np.isfinite(gaps)] > 0).all()
            assert np.nanmax(onset, axis=1).min() > 10
            assert np.nanmin(onset, axis=1).max() < 0 or kind == "dropped beats"


def test_rates_are_as_asked() -> None:
    for kind, rate in (
        ("sinus", 70.0),
        ("fibrillation", 95.0),
        ("reentry", 170.0),
        ("sinus arrhythmia", 75.0),
    ):
        assert abs(ventricular_rate(rhythms(kind, rate), 10).mean() - rate) < 0.04 * rate


def test_regularity_tells_rhythms_apart() -> None:
    regular, breathing = (
        variation(rhythms("sinus", 75).onset),
        variation(rhythms("sinus arrhythmia", 75).onset),
    )
    wild, clockwork = variation(rhythms("fibrillation", 90).onset), variation(rhythms("reentry", 170).onset)
    assert clockwork.max() < 0.01 < np.median(regular) < 0.05 < np.median(breathing)
    assert np.median(wild) > 0.12


def test_fibrillation_and_flutter_have_wavelets_and_no_p() -> None:
    for kind in ("fibrillation", "flutter"):
        rhythm = rhythms(kind, 90)
        assert np.isnan(rhythm.p).all()
        inside = (rhythm.wavelet >= 0) & (rhythm.wavelet < 10)
        assert ((inside.sum(axis=1) * 6 > 200) & (inside.sum(axis=1) * 6 < 520)).all()
    assert (
        variation(rhythms("flutter", 90).wavelet).max()
        < 1e-6
        < 0.1
        < variation(rhythms("fibrillation", 90).wavelet).min()
    )


def test_flutter_conducts_whole_multiples() -> None:
    rhythm = rhythms("flutter", 100)
    cycle = np.diff(rhythm.wavelet[:, :2], axis=1)
    ratio = np.diff(rhythm.onset, axis=1) / cycle
    assert np.abs(ratio - np.rint(ratio)).max() < 1e-6 and ratio.min() >= 1.99
    assert ((60 / cycle > 215) & (60 / cycle < 355)).all()


def test_where_p_waves_lie() -> None:
    def delay(kind: str, rate: float) -> np.ndarray:
        rhythm = rhythms(kind, rate)
        return rhythm.p - rhythm.onset

    assert (delay("sinus", 70) < -0.10).all()
    assert ((delay("node reentry", 170) > -0.02) & (delay("node reentry", 170) < 0.06)).all()
    assert (delay("pathway reentry", 170) > 0.08).all()
    assert variation(rhythms("complete block", 40).p).max() < 1e-6
    assert (rhythms("atrial focus", 120).focus == 1).all()
    wander = rhythms("wandering", 65).focus[:, :12]
    assert (wander.max(axis=1) > 0.6).all() and (wander.min(axis=1) < 0.4).all()


def test_second_degree_block_drops_beats_but_no_p() -> None:
    rhythm = rhythms("dropped beats", 80)
    dropped = np.isnan(rhythm.onset).mean(axis=1)
    assert ((dropped > 0.2) & (dropped < 0.4)).all() and np.isfinite(rhythm.p).all()


def test_premature_beats_come_early_and_are_followed_by_a_pause() -> None:
    n = 200
    rhythm = rhythms("sinus", 70, premature_ventricular=np.full(n, 0.05))
    gaps = np.diff(rhythm.onset, axis=1)
    early = rhythm.ectopic[:, 1:-1]
    assert ((rhythm.ectopic & (rhythm.onset >= 0) & (rhythm.onset < 10)).sum(axis=1) >= 1).mean() > 0.95
    assert (gaps[:, :-1][early] < 0.9 * 60 / 70).all()
    assert np.allclose((gaps[:, :-1] + gaps[:, 1:])[early], 2 * 60 / 70, rtol=0.12)
    assert np.isnan(rhythm.p[rhythm.ectopic]).all() and not rhythms("sinus", 70).ectopic.any()


def test_bigeminy_alternates() -> None:
    n = 20
    rhythm = rhythms("sinus", 70, n, premature_ventricular=np.full(n, 0.1), every=np.full(n, 2))
    assert (rhythm.ectopic[:, 2::2]).all() and not rhythm.ectopic[:, 1::2].any()


def peaks(signal: np.ndarray) -> np.ndarray:
    """R peaks (s) of one record (12, 5000), found without the simulator's knowledge."""
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import find_peaks

    steep = uniform_filter1d((np.gradient(signal, axis=1) ** 2).sum(axis=0), 45)
    return find_peaks(steep, height=0.25 * np.quantile(steep, 0.985), distance=110)[0] / 500


def test_beats_found_in_the_signal_agree_with_the_table() -> None:
    blocks = [chapman.make_block(2, block) for block in range(3)]
    found = {"AFIB": [], "SR": []}
    errors = []
    for block in blocks:
        for (_, row), signal in zip(block.rows.iterrows(), block.signals, strict=True):
            gaps = np.diff(peaks(signal))
            errors.append(abs(60 / gaps.mean() - row["VentricularRate"]) / row["VentricularRate"])
            if row["Rhythm"] in found and "VPB" not in row["Beat"]:
                found[row["Rhythm"]].append(gaps.std() / gaps.mean())
    assert np.mean(np.array(errors) < 0.05) > 0.85
    assert np.median(found["AFIB"]) > 0.1 > 0.06 > np.median(found["SR"])


def test_bounded_normal_keeps_its_bounds_and_shape() -> None:
    one = np.ones(20_000)
    drawn = bounded_normal(np.random.default_rng(0), 50 * one, 10 * one, 40 * one, 90 * one)
    assert drawn.min() >= 40 and drawn.max() <= 90
    assert abs(np.median(drawn) - 52) < 0.5  # of a normal cut one SD below its mean


def test_spread_classes_hold_their_shares_in_every_run() -> None:
    shares = {"often": 0.9, "rare": 0.1}
    long = spread_classes(shares, np.arange(3000), seed=1)
    assert (long[:700] == spread_classes(shares, np.arange(700), seed=1)).all()
    for start in range(0, 2900, 100):
        assert abs((long[start : start + 100] == "rare").mean() - 0.1) <= 0.03
