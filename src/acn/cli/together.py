"""Commands that several processes do together: rank 0 alone speaks and writes."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acn.ranks import Ranks


@contextmanager
def together() -> Iterator["Ranks"]:
    """Join the other processes, if torchrun started several; see `acn.ranks.joined`. Those but rank 0 are silent."""
    from acn.ranks import joined

    with joined() as ranks, ExitStack() as silence:
        if not ranks.leads:
            nowhere = silence.enter_context(open(os.devnull, "w", encoding="utf-8"))
            silence.enter_context(redirect_stdout(nowhere))
            silence.enter_context(redirect_stderr(nowhere))
        yield ranks
