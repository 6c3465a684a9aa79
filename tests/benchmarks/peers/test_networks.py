from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from benchmarks.peers import networks  # noqa: E402
from benchmarks.peers.prepare import MODELS  # noqa: E402


class Block(nn.Module):
    """A convolution with its batch norm, as pytorchcv names them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv(x))


class NasPathBlock(nn.Module):
    """Two convolutions, concatenated, with one batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.path1, self.path2 = (nn.ModuleDict({"conv": nn.Conv2d(3, n, 1, bias=False)}) for n in (2, 5))
        for path in (self.path1, self.path2):
            path.conv = path["conv"]
        self.bn = nn.BatchNorm2d(7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(torch.cat([self.path1.conv(x), self.path2.conv(x)], 1))


@pytest.mark.parametrize("make", [lambda: nn.Sequential(Block(6)), NasPathBlock], ids=["block", "two-paths"])
def test_folding_keeps_the_function(make: type[nn.Module]) -> None:
    torch.manual_seed(1)
    network = make()
    with torch.no_grad():
        networks._draw_weights(network)
        networks._settle_statistics(network)
        x = torch.randn(2, 3, 9, 9)
        expected = network(x)
        networks._fold_batch_norms(network)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


def test_counts_are_of_parameters_and_multiply_adds() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    assert networks.count(network) == networks.Counts(3 * 4 * 4 + 4 + 4 * 10 + 10, 112 * 112 * 4 * 12 + 40)


def test_every_model_has_an_architecture() -> None:
    assert tuple(networks.ARCHITECTURES) == MODELS


@pytest.mark.slow
def test_the_smallest_network_is_the_papers_and_always_the_same() -> None:
    pytest.importorskip("pytorchcv")
    network = networks.build("mobilenet_v3_small")
    found = networks.count(network)
    assert found.parameters == pytest.approx(2.5e6, rel=0.03)
    assert found.macs == pytest.approx(56e6, rel=0.03)
    x = torch.zeros(1, 3, 224, 224)
    torch.testing.assert_close(networks.build("mobilenet_v3_small")(x), network(x))
