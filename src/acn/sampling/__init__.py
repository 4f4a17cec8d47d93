"""Sampling: images from the unconditional prior, from an image's code, and from chains of associations."""
