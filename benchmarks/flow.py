"""The flow prior of codes beside zuko's masked autoregressive flow of the same size, where zuko is installed.

zuko (https://pypi.org/project/zuko) is no dependency; its steps scale the numbers too, so that ours is measured both
with means alone, as the prior is used, and with scales. All take turns, on one thread.
"""

import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from acn.networks.flow import FlowPrior
from benchmarks._timing import DEVICE, interleaved_seconds

SIZE, STEPS, HIDDEN, LAYERS = 64, 4, 640, 2
CODES, SAMPLES = 4096, 64
ROUNDS, SEED = 11, 0


@torch.no_grad()
def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Milliseconds of the density of 4,096 codes and of 64 samples, 64 numbers each, and zuko's beside ours."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(SEED)
        codes = torch.randn(CODES, SIZE, device=DEVICE)
        flows = _flows()
        progress(f"density of {CODES:,} codes")
        density = _milliseconds({name: _density(flow, codes) for name, flow in flows.items()})
        progress(f"{SAMPLES} samples")
        sampling = _milliseconds({name: _sampling(flow) for name, flow in flows.items()})
    finally:
        torch.set_num_threads(threads)
    sizes = {"size": SIZE, "steps": STEPS, "hidden": HIDDEN, "layers": LAYERS, "codes": CODES, "samples": SAMPLES}
    return {
        **sizes,
        "seed": SEED,
        "rounds": ROUNDS,
        "threads": 1,
        "zuko": version("zuko") if "zuko" in flows else None,
        "density": _compared(density),
        "sampling": _compared(sampling),
    }


def _flows() -> dict[str, Callable[[], Any]]:
    """What makes each distribution of its weights, as a training step does."""
    flows: dict[str, Callable[[], Any]] = {
        name: FlowPrior(SIZE, steps=STEPS, hidden=HIDDEN, layers=LAYERS, affine=affine).to(DEVICE)
        for name, affine in (("ours", False), ("ours affine", True))
    }
    if find_spec("zuko"):
        library = importlib.import_module("zuko.flows")
        flows["zuko"] = library.MAF(SIZE, transforms=STEPS, hidden_features=(HIDDEN,) * LAYERS).to(DEVICE)
    return flows


def _density(flow: Callable[[], Any], codes: Tensor) -> Callable[[], object]:
    return lambda: flow().log_prob(codes)


def _sampling(flow: Callable[[], Any]) -> Callable[[], object]:
    if isinstance(flow, FlowPrior):
        return lambda: flow().sample(None, (SAMPLES,))
    return lambda: flow().sample((SAMPLES,))


def _milliseconds(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    return {name: 1000 * seconds for name, seconds in interleaved_seconds(calls, ROUNDS).items()}


def _compared(milliseconds: Mapping[str, float]) -> dict[str, object]:
    """The times, and how many times as long zuko takes as each of ours."""
    ratios = {
        name: milliseconds["zuko"] / taken
        for name, taken in milliseconds.items()
        if name != "zuko" and "zuko" in milliseconds
    }
    return {"ms": dict(milliseconds), "times_as_fast_as_zuko": ratios}
