"""The names of the scalars that a run shows in TensorBoard, and how they are grouped there."""

from __future__ import annotations

EPOCH_TIME_S = "epoch/time_s"
EPOCH_SAMPLES_PER_S = "epoch/samples_per_s"
EPOCH_VALIDATION_S = "epoch/validation_s"
EPOCH_STEP_TIME_S = "epoch/step_time_s"
EPOCH_FLOPS_PER_S = "epoch/flops_per_s"
EPOCH_MFU = "epoch/mfu"

GPU_UTILIZATION_PERCENT = "gpu/utilization_percent"
GPU_POWER_W = "gpu/power_w"
GPU_MEMORY_GIB = "gpu/memory_gib"
GPU_TEMPERATURE_C = "gpu/temperature_c"
GPU_ENERGY_WH = "gpu/energy_wh"
GPU_TOTAL_ENERGY_WH = "gpu/total_energy_wh"
GPU_SM_ACTIVE_PERCENT = "gpu/sm_active_percent"

COMM_OVERHEAD_PERCENT = "comm/overhead_percent"
COMM_EXPOSED_S = "comm/exposed_s"
COMM_TOTAL_S = "comm/total_s"
COMM_HIDDEN_S = "comm/hidden_s"
COMM_WAIT_S = "comm/wait_s"
DATA_WAIT_PERCENT = "data/wait_percent"
PROFILER_COST_PERCENT = "profiler/cost_percent"

CARBON_ENERGY_KWH = "carbon/energy_kwh"
CARBON_EMISSIONS_KG = "carbon/emissions_kg"
CARBON_MEASURED_PERCENT = "carbon/measured_percent"
CARBON_EPOCH_ENERGY_WH = "carbon/epoch_energy_wh"
CARBON_ENERGY_WH_PER_1000_SAMPLES = "carbon/energy_wh_per_1000_samples"
CARBON_EMISSIONS_G_PER_1000_SAMPLES = "carbon/emissions_g_per_1000_samples"

# category -> chart -> ("Multiline", tags): the form that SummaryWriter.add_custom_scalars takes
LAYOUT: dict[str, dict[str, tuple[str, list[str]]]] = {
    "time": {
        "epoch time (s)": ("Multiline", [EPOCH_TIME_S, EPOCH_VALIDATION_S]),
        "throughput (samples/s)": ("Multiline", [EPOCH_SAMPLES_PER_S]),
    },
    "communication": {
        "communication overhead and data wait (%)": (
            "Multiline",
            [COMM_OVERHEAD_PERCENT, DATA_WAIT_PERCENT],
        ),
        "communication in a window (s)": (
            "Multiline",
            [COMM_TOTAL_S, COMM_EXPOSED_S, COMM_HIDDEN_S, COMM_WAIT_S],
        ),
        "cost of profiling (%)": ("Multiline", [PROFILER_COST_PERCENT]),
    },
    "GPU": {
        "utilisation (%)": ("Multiline", [GPU_UTILIZATION_PERCENT, GPU_SM_ACTIVE_PERCENT]),
        "power (W)": ("Multiline", [GPU_POWER_W]),
        "memory (GiB)": ("Multiline", [GPU_MEMORY_GIB]),
        "temperature (°C)": ("Multiline", [GPU_TEMPERATURE_C]),
        "energy (Wh)": ("Multiline", [GPU_ENERGY_WH, GPU_TOTAL_ENERGY_WH]),
    },
    "energy and carbon": {
        "energy (kWh)": ("Multiline", [CARBON_ENERGY_KWH]),
        "emissions (kg CO2eq)": ("Multiline", [CARBON_EMISSIONS_KG]),
        "energy of an epoch (Wh)": ("Multiline", [CARBON_EPOCH_ENERGY_WH]),
        "energy of 1000 samples (Wh)": ("Multiline", [CARBON_ENERGY_WH_PER_1000_SAMPLES]),
        "measured share (%)": ("Multiline", [CARBON_MEASURED_PERCENT]),
    },
}


def of_gpu(tag: str, node: str, index: int) -> str:
    """Give the tag of one GPU for the tag of the mean over all.

    >>> of_gpu(GPU_POWER_W, "node7", 3)
    'gpu/node7.3/power_w'
    """
    return f"gpu/{node}.{index}/{tag.removeprefix('gpu/')}"
