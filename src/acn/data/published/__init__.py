"""Datasets as they are published: which files they are, and how each becomes splits of images."""
