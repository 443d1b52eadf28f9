"""What a DroughtForecaster was made for: names of inputs and target, leads; as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


class HydroDataDifferError(ValueError):
    """Data are not those that a model was made for; the message says in what."""


@dataclass(frozen=True, kw_only=True)
class HydroConditions:
    """Inputs, target and leads of some data, in values that a checkpoint can hold.

    Args:
        dynamic_names: daily inputs, in the order of the batch.
        static_names: maps.
        context_names: series of the whole domain.
        weather_names: statistics of a weather forecast; none without one.
        target_name: what is forecast.
        leads: days ahead.
        anomaly: whether the target is a standardised anomaly, or else a standardised value.
        seq_length: days of a window in training.
        warmup: its first days, whose forecasts do not count.
    """

    dynamic_names: list[str]
    static_names: list[str]
    context_names: list[str]
    weather_names: list[str]
    target_name: str
    leads: list[int]
    anomaly: bool
    seq_length: int
    warmup: int

    @classmethod
    def of(cls, datamodule: Any) -> HydroConditions | None:
        """Read the conditions off a datamodule, None where it does not state them.

        Args:
            datamodule: such as ``GriddedHydroDataModule``, set up.
        """
        needed = ("dynamic_names", "static_names", "context_names", "target_name", "leads", "anomaly")
        if not all(hasattr(datamodule, name) for name in needed):
            return None
        return cls(
            dynamic_names=list(datamodule.dynamic_names),
            static_names=list(datamodule.static_names),
            context_names=list(datamodule.context_names),
            weather_names=list(getattr(datamodule, "weather_names", None) or []),
            target_name=str(datamodule.target_name),
            leads=[int(lead) for lead in datamodule.leads],
            anomaly=bool(datamodule.anomaly),
            seq_length=int(datamodule.seq_length),
            warmup=int(datamodule.warmup),
        )

    @classmethod
    def from_checkpoint(cls, values: Mapping[str, Any]) -> HydroConditions:
        """Make the conditions again that ``to_checkpoint`` gave."""
        return cls(**values)

    def to_checkpoint(self) -> dict[str, Any]:
        """Give the conditions as plain values."""
        return asdict(self)

    def check(self, given: HydroConditions) -> None:
        """Refuse data made under other conditions than these; the length of a window may differ.

        Raises:
            HydroDataDifferError: they differ; the message says in what.
        """
        for field in fields(self):
            if field.name in ("seq_length", "warmup"):
                continue
            trained, here = getattr(self, field.name), getattr(given, field.name)
            if trained != here:
                raise HydroDataDifferError(
                    f"{field.name}: the model was trained with {trained}, the data at hand have {here}. Give "
                    f"the datamodule the settings of the training, or train a model for these data."
                )
