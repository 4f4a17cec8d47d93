"""Commands that several processes do together: rank 0 alone speaks and writes."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    from acn.ranks import Ranks

Arguments = ParamSpec("Arguments")


@contextmanager
def together() -> Iterator["Ranks"]:
    """Join the other processes, if torchrun started several; see `acn.joining.joined`. Those but rank 0 are silent."""
    from acn.joining import joined

    with joined() as ranks, ExitStack() as silence:
        if not ranks.leads:
            nowhere = silence.enter_context(open(os.devnull, "w", encoding="utf-8"))
            silence.enter_context(redirect_stdout(nowhere))
            silence.enter_context(redirect_stderr(nowhere))
        yield ranks


def led(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Let rank 0 do a command, whose blocks of an archive it shares with the other processes, if there are any."""

    @wraps(command)
    def done(*given: Arguments.args, **named: Arguments.kwargs) -> None:
        from acn.joining import launched

        if not launched():
            command(*given, **named)
            return
        from acn.codec.workers import serve, shared_among

        with together() as ranks:
            if not ranks.leads:
                serve(ranks)
                return
            with shared_among(ranks):
                command(*given, **named)

    return done
