"""What the networks do besides sums of products, in floating point; `acn.codec` has the same in exact integers.

The networks call these through an object, so that one definition of each network serves both arithmetics.

Letters: B batch, F filters, H height, W width.
"""

import torch
from torch import Tensor
from torch.nn import functional


class Floats:
    """Ordinary floating-point arithmetic."""

    def scale(self, levels: Tensor, count: int, like: Tensor) -> Tensor:
        """Level indices 0 ... count - 1 as numbers from -1 to 1, of the type of `like`."""
        return levels.to(like.dtype) * (2 / (count - 1)) - 1

    def centred(self, levels: Tensor, count: int, like: Tensor) -> Tensor:
        """Level indices `[B, C, H, W]` as levels above level V // 2, of the type of `like`: pixels `[B, H W + 1, C]`.

        The last one is what stands for pixels that there are not: zeros.
        """
        rows = levels.flatten(2).transpose(1, 2).to(like.dtype) - count // 2
        return functional.pad(rows, (0, 0, 0, 1))

    def difference(self, one: Tensor, other: Tensor) -> Tensor:
        """`one` - `other`."""
        return one - other

    def asinh(self, levels: Tensor) -> Tensor:
        """Half of the inverse hyperbolic sine: linear for a few levels, logarithmic for many."""
        # torch.asinh takes three times as long on a CPU.
        size = torch.log(levels.abs() + torch.sqrt(levels.square() + 1))
        return torch.copysign(size, levels) / 2

    def gate(self, features: Tensor) -> Tensor:
        """tanh of the first half of the features, halved, times the sigmoid of the second: `[B, 2F, ...]` to `[B, F,
        ...]`.

        tanh(a / 2) = 2 sigmoid(a) - 1 turns the gate into one sigmoid over contiguous memory, 2.4 times as fast on a
        CPU as a tanh and a sigmoid of halves. The halving is one of units: the weights before it are drawn twice as
        large.
        """
        signal, valve = torch.sigmoid(features).chunk(2, dim=1)
        return torch.addcmul(-valve, signal, valve, value=2)

    def tanh(self, features: Tensor) -> Tensor:
        """Hyperbolic tangent."""
        return torch.tanh(features)

    def elu(self, features: Tensor) -> Tensor:
        """The features themselves above zero, exp(x) - 1 below."""
        return functional.elu(features)


FLOATS = Floats()
