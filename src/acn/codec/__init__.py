"""Lossless archives of images: the networks in exact integers, bits-back coding, and the file format (FORMAT.md)."""
