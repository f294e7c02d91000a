import pytest
import torch
from torch import nn

from tav.storybook.train.muon import Muon, _share, matrices, orthogonal
from tav.storybook.train.workers import ALONE, Worker


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (24, 24)])
def test_an_orthogonal_update_has_singular_values_of_about_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    made = orthogonal(matrix)
    assert made.shape == matrix.shape
    values = torch.linalg.svdvals(made)
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3
    # Same row and column spaces: it is the polar factor that is approached.
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    assert float((made - u @ v).norm() / (u @ v).norm()) < 0.35


def test_it_descends() -> None:
    torch.manual_seed(0)
    wanted, weight = torch.randn(8, 12), nn.Parameter(torch.zeros(8, 12))
    optimiser = Muon([weight], ALONE, rate=0.05, momentum=0.9, weight_decay=0.0)
    for _ in range(200):
        optimiser.zero_grad()
        (weight - wanted).pow(2).sum().backward()
        optimiser.step()
    assert float((weight.detach() - wanted).pow(2).mean()) < 0.05 * float(wanted.pow(2).mean())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_work_is_shared_out_once(count: int) -> None:
    costs = [5.0, 1.0, 3.0, 3.0, 2.0, 8.0]
    shares = [_share(costs, Worker(rank, count, torch.device("cpu"))) for rank in range(count)]
    assert sorted(index for share in shares for index in share) == list(range(len(costs)))
    loads = [sum(costs[i] for i in share) for share in shares]
    assert max(loads) - min(loads) <= max(costs)


def test_vectors_and_outer_layers_are_left_to_adamw() -> None:
    model = nn.ModuleDict({"conv_in": nn.Conv2d(3, 4, 3), "inner": nn.Conv2d(4, 4, 3), "norm": nn.GroupNorm(2, 4)})
    inner, others = matrices(model)
    assert [p is model["inner"].weight for p in inner] == [True]
    assert len(others) == 5
