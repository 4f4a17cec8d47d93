"""Associative Compression Networks: compact codes of images without labels, and what they are good for.

    Alex Graves, Jacob Menick, Aäron van den Oord (2018). Associative Compression Networks for Representation Learning.
    arXiv:1804.02476.

    >>> import acn
    >>> model = acn.load("mnist", device="cpu")
    >>> model
    TrainedModel(mnist: Associative Compression Network, codes of 16 numbers, ...)
    >>> model.encode(model.sample(2)).shape
    (2, 16)

Importing this package loads no numerical library, so that the command line answers at once.
"""

import importlib
from typing import TYPE_CHECKING

from acn.threads import quiet_threads
from acn.version import __version__

quiet_threads()  # before any module of this package can import NumPy or torch

if TYPE_CHECKING:
    from acn import codec, errors
    from acn.array_training import train
    from acn.estimator import ACNEncoder
    from acn.trained import TrainedModel, load

__all__ = ["ACNEncoder", "TrainedModel", "__version__", "codec", "errors", "load", "train"]


def __getattr__(name: str) -> object:
    if name == "ACNEncoder":
        from acn.estimator import ACNEncoder

        return ACNEncoder
    if name in ("TrainedModel", "load"):
        from acn import trained

        return getattr(trained, name)
    if name == "train":
        from acn.array_training import train

        return train
    if name in ("codec", "errors"):
        return importlib.import_module(f"acn.{name}")
    raise AttributeError(f"module 'acn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
