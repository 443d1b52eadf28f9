import pytest
import torch
from torch import nn

from lightning_itwin.optional import available
from lightning_itwin.strategies.deepspeed_repairs import match_batch_norm, scalar_parameters, use_accelerator


def test_batch_norm_keeps_statistics_in_the_type_of_its_weights():
    module = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, affine=False), nn.LayerNorm(3))
    for parameter in module.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    match_batch_norm(module)
    assert module[0].running_mean.dtype == torch.bfloat16
    assert module[0].num_batches_tracked.dtype == torch.int64
    assert module[1].running_var.dtype == torch.float32
    assert module[:2](torch.randn(4, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.skipif(not available("deepspeed"), reason="no DeepSpeed")
def test_deepspeed_is_left_as_it_was():
    from deepspeed import DeepSpeedEngine
    from deepspeed.accelerator import get_accelerator

    before = DeepSpeedEngine._broadcast_model
    with scalar_parameters():
        assert DeepSpeedEngine._broadcast_model is not before
    assert DeepSpeedEngine._broadcast_model is before
    use_accelerator("cpu")
    assert get_accelerator().device_name() == "cpu"
