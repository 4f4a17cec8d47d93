"""The residual blocks of a VLAE: what they compute, and that training them leaves the memory of the process alone."""

import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from acn.networks.residual import ResidualBlock

# Blocks with few features, trained among many small pieces of memory, whose damage ends the process.
TRAINING = """
import torch
from acn.networks.residual import ResidualBlock

torch.set_num_threads(1)
for inputs, outputs in ((4, 4), (2, 2), (4, 8), (5, 7)):
    block = ResidualBlock(inputs, outputs, 2).to(memory_format=torch.channels_last)
    for _ in range(15):
        beside = [torch.empty(size) for size in (3, 9, 17, 33, 65, 129, 257) * 20]
        features = torch.randn(100, inputs, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
        block(features).sum().backward()
        del beside
"""


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(4, 4, 1), (4, 6, 1), (3, 3, 2), (3, 8, 2)])
@pytest.mark.parametrize("size", [(8, 8), (7, 5)])
def test_a_block_adds_to_what_a_convolution_of_1x1_keeps(
    inputs: int, outputs: int, stride: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    block = ResidualBlock(inputs, outputs, stride).double()
    features = torch.randn(3, inputs, *size, dtype=torch.float64)
    inner = functional.conv2d(functional.elu(features), block.first.weight, block.first.bias, stride, 1)
    changed = functional.conv2d(functional.elu(inner), block.second.weight, block.second.bias, 1, 1)
    kept = features
    if block.skip is not None:
        kept = functional.conv2d(features, block.skip.weight, block.skip.bias, stride)
    torch.testing.assert_close(block(features), changed + kept)


def test_training_leaves_the_memory_of_the_process_alone() -> None:
    # As on processors without AVX-512, on all of them: there oneDNN once wrote beyond the gradient of a layer of 1x1.
    done = subprocess.run(
        [sys.executable, "-c", TRAINING],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
