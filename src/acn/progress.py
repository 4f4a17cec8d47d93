"""How work tells of its progress: `Stage` begins a named stage of a given length, and returns what hears of it."""

from collections.abc import Callable

Advance = Callable[[float], None]
Stage = Callable[[str, int], Advance]
