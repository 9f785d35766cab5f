"""The benchmark times what it says: trained strategies against their own networks, and scheduling without the work."""

from bench.run.execute import InlineExecutor
from bench.run.perf import cell_overhead, describe_machine, fit_rates


def test_every_trained_strategy_is_timed_once_and_controls_are_not(tiny):
    rates = {rate.label: rate for rate in fit_rates(tiny.plan(), rounds=1, steps=2)}
    assert set(rates) == {"noise", "by_label", "head"}
    assert rates["noise"].views == 16 and rates["head"].views == 8
    assert rates["head"].lead_samples == 8 * 2 * 100
    assert all(0 < rate.floor < 10 and 0 < rate.draw < rate.step < 10 for rate in rates.values())


def test_scheduling_is_what_a_cell_costs_beside_its_own_work(tiny):
    plan = tiny.plan(entries=["untrained"], seeds=1)
    job = next(job for job in plan.jobs.values() if job.cell.stage == "fit")
    assert -0.01 < cell_overhead(InlineExecutor(), job, {}, lanes=1, count=5) < 0.05


def test_the_machine_is_named():
    assert "cores" in describe_machine() and "torch" in describe_machine()
