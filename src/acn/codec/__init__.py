"""Lossless archives of images: the networks in exact integers, bits-back coding, and the file format (FORMAT.md).

>>> data = acn.codec.compress(images, acn.load("runs/images"))      # doctest: +SKIP
>>> images = acn.codec.decompress(data)                             # doctest: +SKIP
"""

from acn.codec.archiver import compress, decompress

__all__ = ["compress", "decompress"]
