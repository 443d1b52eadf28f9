"""One of two processes that fit and test GlitchFlow together, and write down what they have come to."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from lightning.pytorch import seed_everything

sys.path.insert(0, str(Path(__file__).parents[2]))
from lightning_itwin.datamodules.virgo.settings import SplitSettings
from lightning_itwin.models.glitch_flow import GlitchFlow
from lightning_itwin.models.glitch_settings import VetoSettings
from tests.models.glitch_instrument import RATE_HZ
from tests.models.test_glitch_flow import RESPONSE, SMALL, data, trainer


def main(folder: str) -> None:
    torch.set_num_threads(1)
    seed_everything(0, verbose=False)
    model = GlitchFlow(
        num_witnesses=2,
        sample_rate_hz=RATE_HZ,
        response=RESPONSE,
        generator=SMALL,
        veto=VetoSettings(folder=str(Path(folder, "out"))),
    )
    module = data(Path(folder), split=SplitSettings(train=0.6, val=0.2, test=0.2))
    fit = trainer(Path(folder), devices=2, strategy="ddp")
    fit.fit(model, module)
    (figures,) = fit.test(model, module, verbose=False)
    fit.predict(model, module, return_predictions=False)
    told = {
        "kernel": model.response.kernel,
        "explained": model.explained,
        "weights": torch.cat([parameter.detach().flatten() for parameter in model.parameters()]),
        "glitches": figures["test/witnessed_glitches"],
    }
    torch.save(told, Path(folder, f"{fit.global_rank}.pt"))


if __name__ == "__main__":
    main(sys.argv[1])
