import numpy as np
import pytest
import torch

from lightning_itwin.datamodules.gw.signal_bank import EXTRINSIC, SignalBank
from lightning_itwin.datamodules.gw.simulation import EventSimulator
from lightning_itwin.detectors import SignalModel
from lightning_itwin.waveforms import Binary
from tests.datamodules.gw.small import SIGNAL


@pytest.fixture(scope="module")
def simulator():
    return EventSimulator(SIGNAL)


@pytest.fixture(scope="module")
def bank(simulator):
    return SignalBank.simulate(
        simulator.signal_model.waveform, simulator.prior, simulator.observation.frequency_hz, 70, seed=3
    )


def test_a_banked_signal_is_the_signal_of_its_parameters(simulator, bank):
    rows = bank.rows(range(20), seed=1)
    theta = bank.with_intrinsic(simulator.prior.sample(20, seed=9), rows)
    binary = Binary.from_table(*simulator.prior.with_fixed(theta))
    direct = simulator.signal_model(binary)
    banked = SignalModel(bank.at(rows), simulator.observation)(binary)
    snr = direct.abs().square().sum((1, 2)).sqrt()
    assert ((direct - banked).abs().square().sum((1, 2)).sqrt() / snr).max() < 1e-5


def test_intrinsic_parameters_come_from_the_bank_and_the_others_do_not(simulator, bank):
    fresh = simulator.prior.sample(50, seed=9)
    rows = bank.rows(np.arange(50), seed=1)
    mixed = bank.with_intrinsic(fresh, rows)
    for column, name in enumerate(simulator.prior.names):
        source = fresh if name in EXTRINSIC else bank.theta[rows]
        assert torch.equal(mixed[:, column], source[:, column])
    assert torch.isfinite(simulator.prior.log_prob(mixed)).all()


def test_rows_belong_to_the_event_and_are_all_used(bank):
    rows = bank.rows(range(2000), seed=1)
    assert torch.equal(bank.rows([17, 3], seed=1), rows[[17, 3]])
    assert len(set(rows.tolist())) == len(bank) == 70
