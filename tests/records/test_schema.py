from __future__ import annotations

import dataclasses

import pytest

from lightning_itwin.records.schema import RECORD_TYPES, Record
from tests.records.test_jsonl import RECORDS

UNITS = (
    "_s",
    "_unix_s",
    "_percent",
    "_gib",
    "_w",
    "_c",
    "_mhz",
    "_mib_per_s",
    "_wh",
    "_kwh",
    "_kg",
    "_g_per_kwh",
)
COUNTS_AND_NAMES = {
    *("rank", "epoch", "steps", "first_step", "samples", "world_samples", "collectives", "flops", "index"),
    *("stage", "warmup", "node", "uuid", "name", "throttle_reasons", "energy_source", "source", "cpu_source"),
    *("grid_source", "country_iso_code"),
}


@pytest.mark.parametrize("kind", RECORD_TYPES)
def test_a_record_is_frozen_keyword_only_and_bears_units(kind: str) -> None:
    record = RECORD_TYPES[kind]
    assert record.kind == kind
    assert issubclass(record, Record)
    for field in dataclasses.fields(record):
        assert field.kw_only
        assert field.name in COUNTS_AND_NAMES or field.name.endswith(UNITS), field.name


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECORDS[0].rank = 1  # type: ignore[misc]
