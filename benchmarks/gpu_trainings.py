"""Small trainings on one GPU for benchmarks: what they compute is known, and so is how long it takes."""

from __future__ import annotations

import importlib
import logging
import statistics
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from gpu_loads import MatrixProducts, Spin, elapsed_s
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_itwin.optional import available
from lightning_itwin.records import Record, find_runs

AnyRecord = TypeVar("AnyRecord", bound=Record)


class _Note(Callback):
    """Notes the value of a function at one hook, once the GPU is idle."""

    def __init__(self, hook: str, function: Callable[[], Any]) -> None:
        self._function = function
        setattr(self, hook, self._note)

    def _note(self, *_: Any, **__: Any) -> None:
        torch.cuda.synchronize()
        self.value = self._function()


def train(
    module: LightningModule,
    folder: Path,
    callbacks: Sequence[Callback],
    *,
    steps: int,
    around: Callable[[], Any] = lambda: None,
) -> tuple[Any, Any]:
    """Train on the GPU; give what ``around`` says before the callbacks begin and after they have ended."""
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    begin, end = _Note("on_train_start", around), _Note("teardown", around)
    Trainer(
        default_root_dir=folder,
        accelerator="gpu",
        devices=1,
        max_epochs=1,
        limit_train_batches=steps,
        callbacks=[begin, *callbacks, end],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    ).fit(module)
    return begin.value, end.value


def rows_of(folder: Path, kind: type[AnyRecord]) -> tuple[AnyRecord, ...]:
    """Give the rows of the one run under ``folder``."""
    (run,) = find_runs(folder)
    return run.of(kind)


def every_callback() -> list[Callback]:
    """Make the three measuring callbacks, those whose packages are there."""
    made: list[Callback] = []
    for module, name, package in (
        ("gpu_monitor", "GPUMonitor", "pynvml"),
        ("communication_profiler", "CommunicationProfiler", "torch"),
        ("carbon_tracker", "CarbonTracker", "codecarbon"),
    ):
        if available(package):
            made.append(getattr(importlib.import_module(f"lightning_itwin.callbacks.{module}"), name)())
    return made


class _Supervised(LightningModule):
    """A regression on fixed random data."""

    input_shape: tuple[int, ...] = (64,)
    batch_size = 64

    def __init__(self) -> None:
        super().__init__()
        self.net = self.build()

    def build(self) -> nn.Module:
        raise NotImplementedError

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.net(batch[0]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)

    def train_dataloader(self) -> DataLoader:
        generator = torch.Generator().manual_seed(0)
        data = torch.randn(4 * self.batch_size, *self.input_shape, generator=generator)
        loader = DataLoader(TensorDataset(data), batch_size=self.batch_size)
        return _Endless(loader)


class _Endless(DataLoader):
    """The batches of a loader, again and again."""

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader.dataset, batch_size=loader.batch_size)
        self._batches = list(loader)

    def __iter__(self):  # type: ignore[no-untyped-def]
        while True:
            yield from self._batches

    def __len__(self) -> int:
        return 10**6


class Convolutions(_Supervised):
    """A small convnet whose step takes about 20 ms: the width is chosen on the GPU at hand."""

    input_shape = (32, 128, 128)
    batch_size = 64

    def build(self) -> nn.Module:
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        layers: list[nn.Module] = []
        for _ in range(self.depth()):
            layers += [nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
        return nn.Sequential(*layers)

    @classmethod
    def depth(cls) -> int:
        if not hasattr(cls, "_depth"):
            layer = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()).cuda()
            batch = torch.randn(cls.batch_size, *cls.input_shape, device="cuda", requires_grad=True)
            one_s = elapsed_s(lambda: layer(batch).sum().backward(), repeats=9)
            cls._depth = max(2, round(0.02 / one_s))
        return cls._depth


class DeepNarrow(_Supervised):
    """60 layers of width 64: many small operators, bound by the host."""

    def build(self) -> nn.Module:
        return nn.Sequential(*(layer for _ in range(60) for layer in (nn.Linear(64, 64), nn.Tanh())))


class Products(_Supervised):
    """Steps of 20 ms of matrix products, launched without a wait in between."""

    def build(self) -> nn.Module:
        return nn.Linear(64, 1)

    def on_train_start(self) -> None:
        self.products = MatrixProducts()
        self.count = self.products.for_s(0.02)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.products.run(self.count)
        if batch_idx % 10 == 0:
            torch.cuda.synchronize()
        return super().training_step(batch, batch_idx)


class FakeNCCL(_Supervised):
    """Steps of matrix products with a kernel on a side stream that pretends to be NCCL's.

    Args:
        products: what computes.
        spin: what pretends.
        before: products before it.
        beside: products that run beside it, before the step waits for it.
        spin_s: how long it spins; 0 for not at all.
    """

    def __init__(
        self, products: MatrixProducts, spin: Spin, *, before: int, beside: int, spin_s: float
    ) -> None:
        super().__init__()
        self.loads = (products, spin, torch.cuda.Stream(priority=-1))  # else products would hold it up
        self.before, self.beside, self.spin_s = before, beside, spin_s

    def build(self) -> nn.Module:
        return nn.Linear(64, 1)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.step(self.spin_s)
        return super().training_step(batch, batch_idx)

    def step(self, spin_s: float, mark: Callable[[str, torch.cuda.Stream], None] = lambda *_: None) -> None:
        """Launch one step; ``mark`` is told of its three joints and the stream that each lies on."""
        products, spin, side = self.loads
        here = torch.cuda.current_stream()
        products.run(self.before)
        mark("fork", here)
        if spin_s:
            side.wait_stream(here)
            spin(side, spin_s)
            mark("spun", side)
        products.run(self.beside)
        mark("computed", here)
        if spin_s:
            here.wait_stream(side)

    def exposed_s(self, repeats: int) -> tuple[float, float]:
        """Give by how much the kernel outlives the products beside it, on the GPU's clock, and the slow-down.

        Returns:
            median of the exposed time; time by which a step with the kernel is longer beyond that, because
            products and kernel share the multiprocessors. Steps with and without the kernel alternate.
        """
        exposed, with_s, without_s = [0.0], [], []
        for _ in range(repeats):
            events: dict[str, torch.cuda.Event] = {}

            def mark(name: str, stream: torch.cuda.Stream, events: dict[str, Any] = events) -> None:
                events[name] = torch.cuda.Event(enable_timing=True)
                events[name].record(stream)

            with_s.append(elapsed_s(lambda mark=mark: self.step(self.spin_s, mark)))
            without_s.append(elapsed_s(lambda: self.step(0.0)))
            if self.spin_s:
                spun_ms, computed_ms = (events["fork"].elapsed_time(events[n]) for n in ("spun", "computed"))
                exposed.append(max(0.0, spun_ms - computed_ms) / 1000)
        exposed_s = statistics.median(exposed[1:] or exposed)
        return exposed_s, statistics.median(with_s) - statistics.median(without_s) - exposed_s
