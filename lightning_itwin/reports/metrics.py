"""What the report shows: every metric with its unit, its definition and where the definition comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lightning_itwin.pages import Term
from lightning_itwin.reports.cells import Cell
from lightning_itwin.reports.run_values import RunValues
from lightning_itwin.reports.statistics import Interval, median_interval

CellValue = Callable[[Cell], float | None]
RunValue = Callable[[RunValues], float | None]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric with a figure of its own.

    Args:
        name: name of its column, and of its figure's files.
        title: what it is called.
        unit: unit that it is shown in; empty for a pure number.
        cell: its value for a strategy on a number of workers.
        run: its value for one run, shown as a dot; None where a single run has none.
        interval: its 95 % interval.
        factor: from the column's unit to the shown one.
        line: whether a line over the workers shows it; bars otherwise.
        ideal: value of a perfect scaling, by workers.
        gpu: whether it takes a GPU.
        term: what it means.
    """

    name: str
    title: str
    unit: str
    cell: CellValue
    run: RunValue | None = None
    interval: Callable[[Cell], Interval | None] | None = None
    factor: float = 1.0
    line: bool = False
    ideal: Callable[[int], float] | None = None
    gpu: bool = False
    term: Term

    @property
    def axis(self) -> str:
        """Title of the axis."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def _epoch_time(cell: Cell) -> Interval | None:
    if cell.row.epoch_time_s is None:
        return None
    return Interval(
        value=cell.row.epoch_time_s, low=cell.row.epoch_time_low_s, high=cell.row.epoch_time_high_s
    )


def _efficiency(cell: Cell) -> Interval | None:
    speedup, workers = cell.speedup_interval, cell.row.workers
    if speedup is None or speedup.low is None or speedup.high is None:
        return None
    return Interval(value=speedup.value / workers, low=speedup.low / workers, high=speedup.high / workers)


def _throughput(cell: Cell) -> Interval | None:
    rates = [run.samples_per_s for run in cell.counted if run.samples_per_s]
    return median_interval(rates) if rates else None


METRICS = (
    Metric(
        name="epoch_time_s",
        title="Time per epoch",
        unit="s",
        cell=lambda cell: cell.row.epoch_time_s,
        run=lambda run: run.epoch_time_s,
        interval=_epoch_time,
        line=True,
        term=Term(
            title="Time per epoch",
            definition="Time of training in one epoch, without validation, on the slowest rank, devices "
            "synchronised. Of a run: the median over its epochs, the warm-up epoch left out. Of a "
            "row: the median over repeats with its 95 % interval.",
            source="B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap (1993); percentiles "
            "expanded after T. C. Hesterberg, The American Statistician 69, 371 (2015)",
            url="https://doi.org/10.1080/00031305.2015.1089789",
        ),
    ),
    Metric(
        name="speedup",
        title="Speedup",
        unit="",
        cell=lambda cell: cell.row.speedup,
        interval=lambda cell: cell.speedup_interval,
        line=True,
        ideal=float,
        term=Term(
            title="Speedup",
            definition="How many times faster than the same strategy on 1 worker: the ratio of the times per "
            "epoch in a strong scaling (the same work, shared), of the samples a second in a weak "
            "one (the same work for every worker).",
            source="G. M. Amdahl, AFIPS Conference Proceedings 30, 483 (1967); J. L. Gustafson, "
            "Communications of the ACM 31, 532 (1988)",
            url="https://doi.org/10.1145/42411.42415",
        ),
    ),
    Metric(
        name="efficiency",
        title="Parallel efficiency",
        unit="%",
        cell=lambda cell: cell.row.efficiency,
        interval=_efficiency,
        factor=100.0,
        line=True,
        ideal=lambda workers: 100.0,
        term=Term(
            title="Parallel efficiency",
            definition="Speedup over the number of workers: the share of the workers' time that a perfect "
            "scaling would need.",
            source="A. Grama, A. Gupta, G. Karypis and V. Kumar, Introduction to Parallel Computing "
            "(2003), chapter 5",
        ),
    ),
    Metric(
        name="samples_per_s",
        title="Throughput",
        unit="samples/s",
        cell=lambda cell: cell.row.samples_per_s,
        run=lambda run: run.samples_per_s,
        interval=_throughput,
        line=True,
        term=Term(
            title="Throughput",
            definition="Training samples of all workers together over the time of the epoch, median over "
            "epochs and repeats.",
        ),
    ),
    Metric(
        name="gpu_utilization_percent",
        title="GPU utilisation",
        unit="%",
        cell=lambda cell: cell.row.gpu_utilization_percent,
        run=lambda run: run.gpu_utilization_percent,
        gpu=True,
        term=Term(
            title="GPU utilisation",
            definition="Share of time in which at least one kernel ran, mean over GPUs and time. It says "
            "that the GPU was busy, not that it was full: a waiting communication kernel counts "
            "as well.",
            source="NVIDIA Management Library, nvmlUtilization_t",
            url="https://docs.nvidia.com/deploy/nvml-api/structnvmlUtilization__t.html",
        ),
    ),
    Metric(
        name="gpu_energy_wh",
        title="GPU energy",
        unit="Wh a run",
        cell=lambda cell: cell.row.gpu_energy_wh,
        run=lambda run: run.gpu_energy_wh,
        gpu=True,
        term=Term(
            title="GPU energy",
            definition="Energy of all physical GPUs of one run, each counted once however many ranks share "
            "it; mean over repeats, never their sum. From the GPU's energy counter, else power "
            "integrated over true time stamps.",
            source="NVML, nvmlDeviceGetTotalEnergyConsumption; on what power samples miss: Z. Yang, K. "
            "Adamek and W. Armour, Part-time Power Measurements, SC24, arXiv:2312.02741",
            url="https://arxiv.org/abs/2312.02741",
        ),
    ),
    Metric(
        name="communication_overhead_percent",
        title="Communication overhead",
        unit="% of step time",
        cell=lambda cell: cell.row.communication_overhead_percent,
        run=lambda run: run.communication_overhead_percent,
        term=Term(
            title="Communication overhead",
            definition="Exposed communication: time in which a rank communicates and no computation of its "
            "own covers it, as a share of wall time, over ranks and profiled windows. "
            "Communication hidden behind computation costs no time and does not count.",
            source="the complement of the communication-computation overlap of Holistic Trace Analysis",
            url="https://hta.readthedocs.io/en/latest/source/features/comm_comp_overlap.html",
        ),
    ),
    Metric(
        name="data_wait_percent",
        title="Waiting for data",
        unit="% of epoch time",
        cell=lambda cell: cell.data_wait_percent,
        run=lambda run: run.data_wait_percent,
        term=Term(
            title="Waiting for data",
            definition="Share of the epoch in which the training loop waits for its next batch; more data "
            "loader workers, or a faster file system, lower it.",
        ),
    ),
    Metric(
        name="energy_kwh",
        title="Energy",
        unit="Wh a run",
        cell=lambda cell: cell.row.energy_kwh,
        run=lambda run: run.energy_kwh,
        factor=1000.0,
        term=Term(
            title="Energy",
            definition="Energy of processors, GPUs and memory of all nodes for one whole run, mean over "
            "repeats. What has no sensor that may be read is estimated by a model; the measured "
            "share says how much is not.",
            source="codecarbon, methodology; estimates deviate by up to 40 % from meters: arXiv:2509.22092",
            url="https://mlco2.github.io/codecarbon/methodology.html",
        ),
    ),
    Metric(
        name="emissions_kg",
        title="Carbon",
        unit="g CO2eq a run",
        cell=lambda cell: cell.row.emissions_kg,
        run=lambda run: run.emissions_kg,
        factor=1000.0,
        term=Term(
            title="Carbon",
            definition="Carbon dioxide equivalent: energy times the mean carbon intensity of the country's "
            "or region's grid, for one whole run.",
            source="codecarbon, methodology",
            url="https://mlco2.github.io/codecarbon/methodology.html",
        ),
    ),
)

TERMS = (
    *(metric.term for metric in METRICS),
    Term(
        title="Serial fraction",
        definition="Karp and Flatt's measure (1/S - 1/p) / (1 - 1/p) of speedup S on p workers. Constant "
        "over p: a serial part limits the speedup. Growing with p: communication or imbalance "
        "does.",
        source="A. H. Karp and H. P. Flatt, Communications of the ACM 33, 539 (1990)",
        url="https://doi.org/10.1145/78607.78614",
    ),
    Term(
        title="Waiting for stragglers",
        definition="Exposed communication beyond that of the rank that exposes least: time spent until "
        "the slowest rank arrives.",
    ),
    Term(
        title="95 % interval",
        definition="In 95 of 100 sweeps such an interval holds the true value. Five and more repeats: "
        "bootstrap of the median. Two to four: the studentised median. One repeat has none.",
        source="coverage under known noise: benchmarks/statistics_truth.py",
    ),
    Term(
        title="Decided, tie",
        definition="Two rows are compared repeat by repeat, so that what slowed a whole round down "
        "cancels out. Decided: the 95 % interval of their ratio leaves out 1. Tie: it does "
        "not, and the difference may be noise.",
        source="J. L. Hodges and E. L. Lehmann, Annals of Mathematical Statistics 34, 598 (1963)",
        url="https://doi.org/10.1214/aoms/1177704172",
    ),
    Term(
        title="Profiler cost",
        definition="What the communication profiler says that its windows cost, as a share of training "
        "time; it is part of the times above.",
    ),
)
