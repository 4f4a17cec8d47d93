"""Benchmarks: every module but those with a leading underscore has `run(progress) -> dict` of what it measured."""
