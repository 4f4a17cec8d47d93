"""Lossless archives of images: the networks in exact integers, bits-back coding, and the file format (FORMAT.md).

data = acn.codec.compress(images, acn.load("runs/images"))
images = acn.codec.decompress(data)
"""

from acn.codec.archiver import compress
from acn.codec.restoring import decompress

__all__ = ["compress", "decompress"]
