"""LightningCLI for any module: a config names model and data by class path, or is one of our presets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from lightning_itwin import presets, strategy_names


class ItwinCLI(LightningCLI):
    """LightningCLI in subclass mode that knows our strategy strings and presets.

    Args:
        args: the command line without the program's name; None for the program's own.
        kwargs: whatever else LightningCLI takes.
    """

    def __init__(self, args: Sequence[str] | None = None, **kwargs: Any) -> None:
        strategy_names.register()
        kwargs.setdefault("save_config_kwargs", {"overwrite": True})
        super().__init__(
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=None if args is None else presets.resolve(args),
            **kwargs,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--float32_matmul_precision",
            type=Literal["highest", "high", "medium"] | None,
            default=None,
            help="of float32 matrix products, as torch.set_float32_matmul_precision has it; on a GPU 'high' "
            "takes them in TensorFloat-32. None: torch's own, 'highest'.",
        )

    def before_instantiate_classes(self) -> None:
        precision = self._get(self.config, "float32_matmul_precision")
        if precision is not None:
            torch.set_float32_matmul_precision(precision)
