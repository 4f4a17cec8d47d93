"""The coder of codes given a neighbour's, where every number also depends on the numbers before it.

To what the prior network says of a number the links (`acn.networks.links`) add something, in exact integers. Pushing
takes one pass of them; popping runs them number after number, for all codes side by side.

Letters: B codes of a batch, D code size, M Gaussians for each number.
"""

from typing import cast

import torch
from torch import Tensor

from acn.codec.facts import links_of
from acn.codec.frozen import SCALE, FrozenModel
from acn.codec.integers import exact
from acn.codec.latents import given_neighbour
from acn.codec.rows import Coder, Rows
from acn.codec.stack import Stack
from acn.networks.made import MADE


def linked_coder(model: FrozenModel, neighbours: Tensor) -> Coder:
    """Of codes `[B, D]`, numbers on the grid, given the mean codes `[B, D]` of neighbours with 12 fractional bits."""
    made, line = cast(MADE, links_of(model.network)), model.grid.at(0)
    said, contexts = model.prior_parameters(neighbours), (neighbours / SCALE).float()
    terms = model.facts.terms

    def rows(place: int, added: Tensor) -> Rows:
        """Of a number of the code, `added` `[B, 3 M]` to what the prior network says of it."""
        more = added.double().unflatten(-1, (3, -1)).unbind(-2)
        parameters = [known[:, place] + one * SCALE for known, one in zip(said, more, strict=True)]
        return Rows(len(added), lambda some: given_neighbour(tuple(part[some] for part in parameters)), line, terms)

    @torch.inference_mode()
    def push(stack: Stack, numbers: Tensor) -> None:
        with exact():
            added = made(model.network_codes(numbers) - contexts, contexts)
        for place in reversed(range(made.size)):
            rows(place, added[:, place]).push(stack, numbers[:, place].to(model.device))

    @torch.inference_mode()
    def pop(stack: Stack) -> Tensor:
        popped: list[Tensor] = []

        def choose(place: int, added: Tensor) -> Tensor:
            popped.append(rows(place, added.T).pop(stack, model.device))
            value = line.values(popped[-1].to(model.device)) / SCALE
            offset: Tensor = value.float() - contexts[:, place]
            return offset

        with exact():
            made.unroll(choose, len(contexts), contexts)
        return torch.stack(popped, dim=1)

    return Coder(push, pop)
