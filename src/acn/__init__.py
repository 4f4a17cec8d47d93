"""Associative Compression Networks: compact codes of images without labels, and what they are good for.

    Alex Graves, Jacob Menick, Aäron van den Oord (2018). Associative Compression Networks for Representation Learning.
    arXiv:1804.02476.

Importing this package loads no numerical library, so that the command line answers at once.
"""

from acn.threads import quiet_threads
from acn.version import __version__

quiet_threads()  # before any module of this package can import NumPy or torch

__all__ = ["__version__"]
