from __future__ import annotations

from lightning_itwin.meters.gpu_sensors import GPUDevice
from lightning_itwin.meters.gpu_sharing import assigned, table, warner


def gpus(*uuids: str) -> list[GPUDevice]:
    return [GPUDevice(index=i, uuid=uuid, name="H200") for i, uuid in enumerate(uuids)]


def split(ranks: list[tuple[list[GPUDevice], list[GPUDevice]]]) -> list[list[str]]:
    tables = [table(seen, used, fault=False) for seen, used in ranks]
    return [[gpu.uuid for gpu in assigned(tables, rank, seen)] for rank, (seen, _) in enumerate(ranks)]


def test_the_lowest_rank_of_a_node_reads_what_the_node_uses() -> None:
    node = gpus("a", "b", "c", "d")
    assert split([(node, [node[0]]), (node, [node[2]])]) == [["a", "c"], []]


def test_ranks_on_one_gpu_read_it_once() -> None:
    node = gpus("a", "b")
    assert split([(node, [node[0]])] * 3) == [["a"], [], []]


def test_every_node_has_its_reader() -> None:
    one, two = gpus("a", "b"), gpus("c", "d")
    ranks = [(one, [one[0]]), (one, [one[1]]), (two, [two[0]]), (two, [two[1]])]
    assert split(ranks) == [["a", "b"], [], ["c", "d"], []]


def test_ranks_that_see_one_gpu_each_read_their_own() -> None:
    ranks = [(gpus(uuid), gpus(uuid)) for uuid in "abc"]
    assert split(ranks) == [["a"], ["b"], ["c"]]


def test_a_rank_without_driver_leaves_the_reading_to_the_next() -> None:
    node = gpus("a", "b")
    assert split([([], []), (node, [node[1]])]) == [[], ["b"]]


def test_nobody_uses_a_gpu() -> None:
    node = gpus("a")
    assert split([(node, []), (node, [])]) == [[], []]


def test_a_table_has_one_length_and_keeps_the_used_ones() -> None:
    many = gpus(*(str(i) for i in range(100)))
    rows = [table(many, many[-3:], fault=False), table([], [], fault=True)]
    assert {len(row) for row in rows} == {65}
    assert [gpu.uuid for gpu in assigned(rows, 0, many)] == ["97", "98", "99"]
    assert all(0 <= entry < 2**63 for row in rows for entry in row)


def test_one_rank_warns() -> None:
    assert warner([table([], [], fault=fault) for fault in (False, True, True)]) == 1
    assert warner([table([], [], fault=False)] * 2) is None
