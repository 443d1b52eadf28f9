"""One of two processes that fit, test and predict with CoherentSubtractor, and write down what they found."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
from lightning_itwin.models import CoherentSubtractor
from tests.models.test_coherent_subtractor import data_in, trainer


def main(folder: str) -> None:
    torch.set_num_threads(1)
    model, module = CoherentSubtractor(folder=str(Path(folder, "out"))), data_in(Path(folder))
    fit = trainer(Path(folder), devices=2, strategy="ddp")
    fit.fit(model, datamodule=module)
    (figures,) = fit.test(model, datamodule=module, verbose=False)
    fit.predict(model, datamodule=module, return_predictions=False)
    taps = torch.from_numpy(model.noise_filter.taps)
    told = {"taps": taps, "ranking": model.ranking, "clean_range_mpc": figures["test/clean_range_mpc"]}
    torch.save(told, Path(folder, f"{fit.global_rank}.pt"))


if __name__ == "__main__":
    main(sys.argv[1])
