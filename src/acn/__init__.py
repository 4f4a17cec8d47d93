"""Associative Compression Networks: compact codes of images without labels, and what they are good for.

    Alex Graves, Jacob Menick, Aäron van den Oord (2018). Associative Compression Networks for Representation Learning.
    arXiv:1804.02476.

    >>> model = acn.load("runs/digits")         # doctest: +SKIP
    >>> model.encode(images)                    # doctest: +SKIP

Importing this package loads no numerical library, so that the command line answers at once.
"""

import importlib
from typing import TYPE_CHECKING

from acn.threads import quiet_threads
from acn.version import __version__

quiet_threads()  # before any module of this package can import NumPy or torch

if TYPE_CHECKING:
    from acn import codec
    from acn.estimator import ACNEncoder
    from acn.trained import TrainedModel, load

__all__ = ["ACNEncoder", "TrainedModel", "__version__", "codec", "load"]


def __getattr__(name: str) -> object:
    if name == "ACNEncoder":
        from acn.estimator import ACNEncoder

        return ACNEncoder
    if name in ("TrainedModel", "load"):
        from acn import trained

        return getattr(trained, name)
    if name == "codec":
        return importlib.import_module("acn.codec")
    raise AttributeError(f"module 'acn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
