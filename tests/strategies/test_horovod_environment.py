import os

import pytest

from lightning_itwin.strategies.horovod_environment import (
    HorovodEnvironment,
    loopback_interface,
    slot_variables,
    variables_set,
)


@pytest.fixture
def started(monkeypatch):
    """Two nodes with two processes each; this is the second process of the second node."""
    for name, value in {
        "RANK": 3, "SIZE": 4, "LOCAL_RANK": 1, "LOCAL_SIZE": 2, "CROSS_RANK": 1, "CROSS_SIZE": 2,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"HOROVOD_{name}", str(value))
    return HorovodEnvironment()


def test_reads_what_horovodrun_tells(started):
    assert HorovodEnvironment.detect()
    assert started.creates_processes_externally
    assert (started.world_size(), started.global_rank()) == (4, 3)
    assert (started.local_rank(), started.node_rank()) == (1, 1)
    started.set_world_size(7)
    started.set_global_rank(7)
    assert (started.world_size(), started.global_rank()) == (4, 3)


def test_knows_where_rank_0_listens(started):
    started.set_main("10.0.0.1", 1234)
    assert (started.main_address, started.main_port) == ("10.0.0.1", 1234)


def test_is_not_there_without_horovodrun(monkeypatch):
    monkeypatch.delenv("HOROVOD_RANK", raising=False)
    assert not HorovodEnvironment.detect()


def test_accepts_the_same_world(started):
    started.validate_settings(num_devices=2, num_nodes=2)


@pytest.mark.parametrize(("devices", "nodes"), [(1, 1), (4, 1), (1, 4), (2, 3)])
def test_refuses_another_world(started, devices, nodes):
    with pytest.raises(ValueError, match=r"Say Trainer\(devices=2, num_nodes=2\)"):
        started.validate_settings(num_devices=devices, num_nodes=nodes)


def test_tells_horovod_another_starters_world(started, monkeypatch):
    monkeypatch.setenv("HOROVOD_GLOO_IFACE", "eth7")
    variables = slot_variables(started, nodes=2, devices=2, address="10.0.0.1", port=99)
    assert variables == {
        "HOROVOD_HOSTNAME": "node1",
        "HOROVOD_RANK": "3",
        "HOROVOD_SIZE": "4",
        "HOROVOD_LOCAL_RANK": "1",
        "HOROVOD_LOCAL_SIZE": "2",
        "HOROVOD_CROSS_RANK": "1",
        "HOROVOD_CROSS_SIZE": "2",
        "HOROVOD_GLOO_RENDEZVOUS_ADDR": "10.0.0.1",
        "HOROVOD_GLOO_RENDEZVOUS_PORT": "99",
        "HOROVOD_CONTROLLER": "gloo",
        "HOROVOD_CPU_OPERATIONS": "gloo",
    }


def test_one_node_stays_on_the_loopback_interface(started, monkeypatch):
    monkeypatch.delenv("HOROVOD_GLOO_IFACE", raising=False)
    variables = slot_variables(started, nodes=1, devices=4, address="127.0.0.1", port=99)
    assert variables["HOROVOD_GLOO_IFACE"] == loopback_interface()


def test_variables_are_set_for_a_moment(monkeypatch):
    monkeypatch.setenv("HOROVOD_RANK", "1")
    monkeypatch.delenv("HOROVOD_SIZE", raising=False)
    with variables_set({"HOROVOD_RANK": "0", "HOROVOD_SIZE": "2"}):
        assert (os.environ["HOROVOD_RANK"], os.environ["HOROVOD_SIZE"]) == ("0", "2")
    assert os.environ["HOROVOD_RANK"] == "1"
    assert "HOROVOD_SIZE" not in os.environ
