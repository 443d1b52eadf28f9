"""Small settings that the tests share: two detectors, 2 s at 1024 Hz, a waveform of 0.2 ms."""

from lightning_itwin.datamodules.gw.simulate import DataSetSettings
from lightning_itwin.datamodules.gw.simulation import SignalSettings
from lightning_itwin.detectors import ObservationSettings

WAVEFORM = "lalsimulation:IMRPhenomD"
OBSERVATION = ObservationSettings(
    detectors=["H1", "L1"],
    duration_s=2.0,
    sample_rate_hz=1024.0,
    minimum_frequency_hz=30.0,
    maximum_frequency_hz=400.0,
    after_merger_s=0.5,
    psds=["aLIGO_O4_high", "aplus"],
)
SIGNAL = SignalSettings(observation=OBSERVATION, waveform=WAVEFORM, prior="ligo_bbh", seed=7)
RECORD_BYTES = 2 * 2048 * 4
BLOCK_GB = 64 * RECORD_BYTES / 1e9  # a shard of one block


def data_set(events=300, blocks_per_shard=2, **changes):
    return DataSetSettings(
        **{"events": events, "signal": SIGNAL, "shard_gb": blocks_per_shard * BLOCK_GB, **changes}
    )
