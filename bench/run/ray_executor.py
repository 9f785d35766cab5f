"""The same jobs as Ray tasks on warm workers: one machine or a cluster. Ray is an adapter, never the truth."""

import os
from collections.abc import Mapping
from typing import Any

from bench.run.errors import UserError
from bench.run.status import Status
from bench.run.store import Payload
from bench.run.work import Job, Outcome, run_job

_LARGE = 1 << 20


class RayExecutor:
    """Runs jobs as Ray tasks.

    Args:
        address: of a running cluster; None starts a local one.
        gpus_per_cell: share of a GPU a cell takes; 0 on CPU.
        cpus: cores of a local cluster; None: all.
    """

    def __init__(
        self,
        address: str | None = None,
        gpus_per_cell: float = 0.0,
        cpus: int | None = None,
        threads: int = 1,
    ) -> None:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault("RAY_DEDUP_LOGS", "0")
        os.environ.setdefault("RAY_task_oom_retries", "2")
        import ray

        self._ray = ray
        options: dict[str, Any] = {"address": address or "local"}
        if not address:
            options |= {"num_cpus": cpus or os.cpu_count(), "include_dashboard": False}
        try:
            ray.init(**options, configure_logging=True, logging_level="error", log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise UserError(f"Ray at {options['address']!r}: {str(error).splitlines()[0]}") from error
        if gpus_per_cell < 0 or gpus_per_cell > ray.cluster_resources().get("GPU", 0):
            ray.shutdown()
            raise UserError(f"a cell asks for {gpus_per_cell:g} GPUs, more than Ray has; see --gpus-per-cell")
        if threads > ray.cluster_resources().get("CPU", 0):
            ray.shutdown()
            raise UserError(f"a cell asks for {threads} cores, more than Ray has; lower the suite's threads")
        self._remote = ray.remote(num_cpus=threads, num_gpus=gpus_per_cell, max_retries=3)(_run)
        resources = ray.cluster_resources()
        lanes = int(resources.get("CPU", 1)) // threads
        if gpus_per_cell:
            lanes = min(lanes, int(resources.get("GPU", 0) / gpus_per_cell))
        self.slots = max(1, 2 * lanes)
        self._running: dict[Any, str] = {}
        self._shared: dict[int, tuple[Payload, Any]] = {}

    def submit(self, key: str, job: Job, parents: Mapping[str, Payload]) -> None:
        """Start a task; large parents travel through the object store once."""
        roles = list(parents)
        reference = self._remote.remote(job, roles, *[self._reference(parents[role]) for role in roles])
        self._running[reference] = key

    def wait(self) -> list[tuple[str, Outcome]]:
        """Results of the tasks that ended; a lost worker is a failed cell with one line."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1)
        more, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        results = []
        for reference in {*ready, *more}:
            key = self._running.pop(reference)
            try:
                results.append((key, self._ray.get(reference)))
            except self._ray.exceptions.OutOfMemoryError as error:
                results.append(
                    (key, Outcome(Status.OOM, {}, "Ray ended the worker: out of memory", str(error)))
                )
            except self._ray.exceptions.RayError as error:
                line = f"worker lost: {str(error).splitlines()[0]}"
                results.append((key, Outcome(Status.FAILED, {}, line, str(error))))
        return results

    def close(self) -> None:
        """Stop the local cluster, or leave the joined one."""
        self._ray.shutdown()

    def _reference(self, payload: Payload) -> Any:
        if sum(map(len, payload.values())) < _LARGE:
            return payload
        if id(payload) not in self._shared:
            if len(self._shared) >= 8:
                self._shared.pop(next(iter(self._shared)))
            self._shared[id(payload)] = (payload, self._ray.put(payload))
        return self._shared[id(payload)][1]


def _run(job: Job, roles: list[str], *payloads: Payload) -> Outcome:
    return run_job(job, dict(zip(roles, payloads, strict=True)))
