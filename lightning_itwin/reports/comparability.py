"""Whether runs may stand in one table: they must differ in strategy and number of workers alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from lightning_itwin.records import RunManifest
from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.run_values import RunValues

_NAMES_SHOWN = 4

_FIELDS: Mapping[str, Callable[[RunManifest], object]] = {
    "workload": lambda manifest: manifest.workload,
    "accelerator": lambda manifest: manifest.accelerator,
    "device_name": lambda manifest: manifest.device_name,
    "cpu_name": lambda manifest: manifest.cpu_name,
    "precision": lambda manifest: manifest.precision,
    "scaling": lambda manifest: manifest.scaling,
    "threads_per_worker": lambda manifest: manifest.threads_per_worker,
    "parameters": lambda manifest: manifest.parameters,
    "torch": lambda manifest: manifest.versions.get("torch"),
    "lightning": lambda manifest: manifest.versions.get("lightning"),
}
FIELDS = (*_FIELDS, "dataset_samples", "batch_size")


def check_comparable(runs: Sequence[RunValues], allow_mixed: Iterable[str] = ()) -> tuple[str, ...]:
    """Refuse to report runs together that differ in more than strategy and number of workers.

    The data set may grow with the workers in a weak scaling. Batches may be the same on every worker, or add
    up to the same global batch; the runs decide which.

    Args:
        runs: the runs that count.
        allow_mixed: names of fields that may differ.

    Returns:
        warnings about what differs and does not forbid a comparison.

    Raises:
        ReportError: runs differ; the message names the fields, their values and the runs.
    """
    allowed = set(allow_mixed)
    if unknown := allowed - set(FIELDS):
        raise ReportError(
            f"no such field: {', '.join(sorted(unknown))}. Fields that may be mixed: {', '.join(FIELDS)}"
        )
    manifests = {run.name: run.manifest for run in runs if run.manifest is not None}
    differing = {}
    for field, read in _FIELDS.items():
        differing[field] = _by_value({name: read(manifest) for name, manifest in manifests.items()})
    differing["dataset_samples"] = _dataset_sizes(manifests)
    differing["batch_size"] = _batches(manifests)
    wrong = {field: values for field, values in differing.items() if len(values) > 1}
    if refused := {field: values for field, values in wrong.items() if field not in allowed}:
        raise ReportError(
            "these runs cannot be compared. They differ in\n"
            + "\n".join(f"  {field}: {_told(values)}" for field, values in refused.items())
            + "\nReport them apart, a folder each, or, if the difference is meant, say "
            f"--allow-mixed {','.join(refused)}"
        )
    mixed = tuple(
        f"runs with different {field} are mixed as you allowed: {_told(values)}"
        for field, values in wrong.items()
    )
    return mixed + tuple(_harmless(manifests))


def batch_rule(runs: Iterable[RunValues]) -> str:
    """Say how the batch goes with the number of workers; empty where a batch has no size."""
    manifests = [run.manifest for run in runs if run.manifest is not None]
    sizes = {manifest.batch_size for manifest in manifests}
    if None in sizes or not sizes:
        return ""
    if len(sizes) == 1:
        return f"batches of {sizes.pop()} on every worker"
    total = max(_global_batch(manifest) or 0 for manifest in manifests)
    return f"batches of {total} over all workers"


def _dataset_sizes(manifests: Mapping[str, RunManifest]) -> dict[object, list[str]]:
    found = _by_value({name: manifest.dataset_samples for name, manifest in manifests.items()})
    if len(found) > 1 and all(manifest.scaling == "weak" for manifest in manifests.values()):
        grown = {
            name: (manifest.dataset_samples or 0) / manifest.world_size
            for name, manifest in manifests.items()
        }
        if max(grown.values()) - min(grown.values()) <= 1:
            return {}
    return found


def _batches(manifests: Mapping[str, RunManifest]) -> dict[object, list[str]]:
    per_worker = _by_value(
        {
            name: _batch_told(manifest.batch_size, manifest.accumulate_grad_batches)
            for name, manifest in manifests.items()
        }
    )
    by_world: dict[int, set[tuple[int | None, int]]] = {}
    for manifest in manifests.values():
        batch = (manifest.batch_size, manifest.accumulate_grad_batches)
        by_world.setdefault(manifest.world_size, set()).add(batch)
    totals = [_global_batch(manifest) for manifest in manifests.values()]
    known = [total for total in totals if total is not None]
    one_batch_a_world = all(len(batches) == 1 for batches in by_world.values())
    if one_batch_a_world and len(known) == len(totals) and known:
        # a global batch that a number of workers does not divide is rounded down on each of them
        shared = all(
            max(known) - total < manifest.world_size * manifest.accumulate_grad_batches
            for total, manifest in zip(known, manifests.values())
        )
        if shared:
            return {}
    return per_worker


def _global_batch(manifest: RunManifest) -> int | None:
    if manifest.batch_size is None:
        return None
    return manifest.batch_size * manifest.accumulate_grad_batches * manifest.world_size


def _batch_told(size: int | None, accumulated: int) -> str:
    return f"{size} a worker" + (f", {accumulated} accumulated" if accumulated > 1 else "")


def _by_value(values: Mapping[str, object]) -> dict[object, list[str]]:
    runs: dict[object, list[str]] = {}
    for name, value in values.items():
        runs.setdefault(value, []).append(name)
    return runs


def _told(values: Mapping[object, Sequence[str]]) -> str:
    return "; ".join(
        f"{value} ({', '.join(names[:_NAMES_SHOWN])}"
        + (f" and {len(names) - _NAMES_SHOWN} more)" if len(names) > _NAMES_SHOWN else ")")
        for value, names in values.items()
    )


def _harmless(manifests: Mapping[str, RunManifest]) -> Iterable[str]:
    commits = _by_value({name: manifest.git_commit for name, manifest in manifests.items()})
    if len(commits) > 1:
        yield f"the runs come from different commits: {_told(commits)}"
    libraries = {library for manifest in manifests.values() for library in manifest.versions}
    for library in sorted(libraries - {"torch", "lightning"}):
        versions = _by_value({name: manifest.versions.get(library) for name, manifest in manifests.items()})
        if len(versions) > 1:
            yield f"the runs have different versions of {library}: {_told(versions)}"
    parameters = {name for manifest in manifests.values() for name in manifest.hyperparameters}
    for parameter in sorted(parameters):
        values = _by_value(
            {name: manifest.hyperparameters.get(parameter) for name, manifest in manifests.items()}
        )
        if len(values) > 1:
            yield f"the runs have different {parameter}: {_told(values)}"
