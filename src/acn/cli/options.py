"""Checks of options that several commands share."""

import typer


def some_minutes(value: float | None) -> float | None:
    """See that a time, where one is given, is more than none.

    Raises:
        BadParameter: it is not.
    """
    if value is not None and not value > 0:
        raise typer.BadParameter(f"expected more than 0 minutes, found {value:g}")
    return value
