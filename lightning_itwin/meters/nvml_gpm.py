"""GPM, the performance monitors that NVML reads on Hopper and newer GPUs without a profiler.

``utilization.gpu`` tells that some kernel ran; these tell how much of the GPU it kept busy.

Reference:
    NVIDIA, "NVML API reference guide", section GPM functions.
"""

from __future__ import annotations

import math
from typing import Any

_METRICS = {"sm_active_percent": "NVML_GPM_METRIC_SM_UTIL"}
_LINK_METRICS = {
    "pcie_tx_mib_per_s": "NVML_GPM_METRIC_PCIE_TX_PER_SEC",
    "pcie_rx_mib_per_s": "NVML_GPM_METRIC_PCIE_RX_PER_SEC",
    "nvlink_tx_mib_per_s": "NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC",
    "nvlink_rx_mib_per_s": "NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC",
}


class PerformanceMonitor:
    """The performance monitors of one GPU: means over the time between two readings.

    Args:
        nvml: the module ``pynvml``, initialised.
        handle: NVML's handle of the GPU.
        names: name of NVML's metric by field of a reading.
    """

    def __init__(self, nvml: Any, handle: Any, names: dict[str, str]) -> None:
        self._nvml = nvml
        self._handle = handle
        self._fields = {name: getattr(nvml, metric) for name, metric in names.items()}
        self._samples = [nvml.nvmlGpmSampleAlloc(), nvml.nvmlGpmSampleAlloc()]
        self._sampled = False
        self._request = nvml.c_nvmlGpmMetricsGet_t()

    @classmethod
    def of(cls, nvml: Any, handle: Any, *, link_throughput: bool) -> PerformanceMonitor | None:
        """Give the monitors of a GPU; None where it has none, or this user may not read them."""
        try:
            if not nvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice:
                return None
            return cls(nvml, handle, {**_METRICS, **(_LINK_METRICS if link_throughput else {})})
        except nvml.NVMLError:
            return None

    def read(self) -> dict[str, float | None]:
        """Give the means since the last call; empty at the first.

        Raises:
            NVMLError: the GPU gives no sample.
        """
        nvml = self._nvml
        before, now = self._samples
        nvml.nvmlGpmSampleGet(self._handle, now)
        self._samples.reverse()
        if not self._sampled:
            self._sampled = True
            return {}
        request = self._request
        request.version = nvml.NVML_GPM_METRICS_GET_VERSION
        request.numMetrics = len(self._fields)
        request.sample1, request.sample2 = before, now
        for slot, metric in enumerate(self._fields.values()):
            request.metrics[slot].metricId = metric
        nvml.nvmlGpmMetricsGet(request)
        return {name: self._value(slot) for slot, name in enumerate(self._fields)}

    def close(self) -> None:
        """Free the samples."""
        for sample in self._samples:
            try:
                self._nvml.nvmlGpmSampleFree(sample)
            except self._nvml.NVMLError:
                continue  # freed with the driver that has gone
        self._samples = []

    def _value(self, slot: int) -> float | None:
        metric = self._request.metrics[slot]
        if metric.nvmlReturn != self._nvml.NVML_SUCCESS or not math.isfinite(metric.value):
            return None
        return float(metric.value)
