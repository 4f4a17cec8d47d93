"""Values of options that several commands share."""

import math
from typing import Any

import typer


def minutes_option(text: str) -> Any:  # noqa: ANN401 - what typer calls an option
    """Return an option that takes some time, in minutes, with `text` as its help."""
    return typer.Option(metavar="M", parser=_minutes, help=f"{text} (M > 0).", show_default=False)


def _minutes(text: str) -> float:
    """More than none, and not for ever."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise typer.BadParameter(f"expected a number of minutes above 0, found {text!r}")
    return value
