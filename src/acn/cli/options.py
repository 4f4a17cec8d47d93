"""Values of options that several commands share."""

import math
from typing import Annotated, Any

import typer

from acn.errors import UsageError
from acn.families import family_names
from acn.recipes import RECIPES
from acn.settings import Fit

RecipeOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"Settings by name: {', '.join(RECIPES)}. [default: the recipe that suits the images]",
        show_default=False,
    ),
]
FamilyOption = Annotated[
    str | None,
    typer.Option(
        "--family",
        metavar="NAME",
        help=f"The family of models: {family_names()}. [default: that of the recipe]",
        show_default=False,
    ),
]
FormerModelOption = Annotated[
    str | None, typer.Option("--model", hidden=True, help="The name of --family, before --model was a run everywhere.")
]
SizeOption = Annotated[
    str | None,
    typer.Option(
        metavar="H[xW]",
        help="Give every image this height and width in pixels, such as 64 or 48x64.",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Number of processes; the result is the same for any. [default: one per core, fewer for few pixels]",
        show_default=False,
    ),
]
FitOption = Annotated[
    Fit | None,
    typer.Option(
        help="How images of another size are fitted: crop the middle, pad with black, or stretch. "
        "[default: as in training]",
        show_default=False,
    ),
]
SizeFitOption = Annotated[
    Fit | None,
    typer.Option(
        help="How --size is reached: crop the middle, pad with black, or stretch. [default: crop]", show_default=False
    ),
]


def check_family(former: str | None) -> None:
    """See that the family is not asked for by `--model`, as it once was.

    Raises:
        UsageError: it is.
    """
    if former is not None:
        raise UsageError(f"--model names a run; the family of models is chosen by --family {former}")


def size_settings(size: str | None, fit: Fit | None) -> list[str]:
    """Return the options as settings."""
    given = {"data.size": size, "data.fit": fit}
    return [f"{name}={value}" for name, value in given.items() if value is not None]


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
