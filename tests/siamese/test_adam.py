"""Adam's steps beside torch's own."""

import torch

from siamese.adam import Adam


def test_the_weights_are_those_of_torch_s_own_bit_for_bit() -> None:
    """Also of a parameter that has no gradient at first, and of one that never has."""
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in ((40, 7), (7,), (), (3,))]
    theirs = [torch.nn.Parameter(parameter.detach().clone()) for parameter in ours]
    adam, reference = Adam(ours, 0.03), torch.optim.Adam(theirs, lr=0.03, fused=True)
    for step in range(20):
        x = torch.randn(16, 40)
        for each in (ours, theirs):
            made = torch.tanh(x @ each[0] + each[1]) * each[2] if step % 3 else x @ each[0]
            made.square().sum().backward()
        adam.step()
        reference.step()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
        adam.forget_gradients()
        reference.zero_grad(set_to_none=True)
        assert all(parameter.grad is None for parameter in ours)
