"""Values of options that several commands share."""

import math

import typer


def minutes(text: str) -> float:
    """Read some time, in minutes: more than none, and not for ever."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise typer.BadParameter(f"expected a number of minutes above 0, found {text!r}")
    return value
