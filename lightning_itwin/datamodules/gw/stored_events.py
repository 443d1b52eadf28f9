"""The settings that stored events bring along, and whether those given beside them agree."""

from __future__ import annotations

from dataclasses import asdict

from lightning_itwin.datamodules.gw.shard_format import ShardError, ShardManifest
from lightning_itwin.datamodules.gw.simulation import SignalSettings, plain, psd_hash
from lightning_itwin.detectors import Observation, ObservationSettings


def stored_settings(
    manifest: ShardManifest,
    observation: ObservationSettings | None,
    waveform: str | None,
    prior: str | None,
    folder: str,
) -> SignalSettings:
    """Give the settings that a folder's events were made with.

    Args:
        manifest: of the folder.
        observation: what is asked for, or None.
        waveform: what is asked for, or None.
        prior: what is asked for, or None.
        folder: for messages.

    Raises:
        ShardError: what is asked for differs; the message names each difference.
    """
    there = manifest.settings
    stored = SignalSettings(
        observation=ObservationSettings.from_dict(there["observation"]),
        waveform=there["waveform"],
        reference_frequency_hz=there["reference_frequency_hz"],
        prior=there["prior"],
        seed=there["seed"],
    )
    told = []
    if observation is not None:
        asked, has = plain(asdict(observation)), plain(asdict(stored.observation))
        told += [
            f"{name}: stored {has[name]}, asked {asked[name]}"
            for name in has
            if name != "psds" and has[name] != asked[name]
        ]
        if not told and psd_hash(Observation(observation)) != manifest.psd_hash:
            told.append("psds: the stored events were whitened with others")
    if waveform is not None and waveform != stored.waveform:
        told.append(f"waveform: stored {stored.waveform}, asked {waveform}")
    if prior is not None:
        asked_text = SignalSettings(observation=stored.observation, prior=prior).read_prior().settings()
        if asked_text != stored.prior:
            told.append(f"prior: stored\n{stored.prior}asked\n{asked_text}")
    if told:
        raise ShardError(
            f"The events in {folder} are not those that are asked for:\n  "
            + "\n  ".join(told)
            + "\nLeave these settings out, to take what is stored, or simulate a data set with them."
        )
    return stored
