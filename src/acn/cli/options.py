"""Types of options that several commands share."""

import click


def minutes() -> click.FloatRange:
    """Some time, in minutes: more than none."""
    return click.FloatRange(min=0, min_open=True)
