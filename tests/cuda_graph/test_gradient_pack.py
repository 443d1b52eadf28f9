"""GradientPack: copies are what was written, laid out as the parameters, and nobody else's."""

import torch

from lightning_itwin.cuda_graph.gradient_pack import GradientPack


def tensors():
    generator = torch.Generator().manual_seed(1)
    shapes = [(3,), (4, 2), (), (2, 3, 3, 3), (5, 7), (8,)]
    made = [torch.randn(shape, generator=generator) for shape in shapes]
    made[3] = made[3].to(memory_format=torch.channels_last)
    return made


def test_copies_are_the_gradients_in_the_layout_of_the_parameters() -> None:
    parameters, gradients = tensors(), [2 * each for each in tensors()]
    pack = GradientPack(parameters)
    pack.write(gradients)
    for copied, parameter, gradient in zip(pack.copies(), parameters, gradients, strict=True):
        assert torch.equal(copied, gradient)
        assert copied.stride() == parameter.stride()


def test_gradients_in_another_layout_are_laid_out_as_the_parameters() -> None:
    parameters = tensors()
    gradients = [each.contiguous() for each in parameters]
    gradients[1] = gradients[1].t().contiguous().t()
    pack = GradientPack(parameters)
    pack.write(gradients)
    for copied, parameter in zip(pack.copies(), parameters, strict=True):
        assert torch.equal(copied, parameter)
        assert copied.stride() == parameter.stride()


def test_copies_stay_when_others_are_written() -> None:
    pack = GradientPack(tensors())
    pack.write(tensors())
    before = pack.copies()
    pack.write([torch.zeros_like(each) for each in tensors()])
    for copied, wanted in zip(before, tensors(), strict=True):
        assert torch.equal(copied, wanted)


def test_odd_sizes_move_no_other_gradient_off_its_alignment() -> None:
    parameters = tensors()
    for copied, parameter in zip(GradientPack(parameters).copies(), parameters, strict=True):
        if parameter.numel() % 4 == 0:
            assert copied.storage_offset() % 4 == 0
