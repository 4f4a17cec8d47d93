"""`acn check`: what a source holds, and what training on it would do, before an hour of training."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acn.choice import Options
from acn.cli.drawing import SkipDamagedOption
from acn.cli.options import RecipeOption, SizeFitOption, SizeOption, size_settings
from acn.cli.outputs import ForceOption, check_output
from acn.wording import counted, listed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from acn.config import Config
    from acn.data import Inspection
    from acn.training.prospect import Prospect

MOST_SIZES, MOST_KINDS, MOST_CLASSES, MOST_VALUES, MOST_DAMAGED = 5, 5, 30, 8, 100


def check(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Images, as for acn train.", show_default=False)],
    recipe: RecipeOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting, as for acn train.", show_default=False),
    ] = None,
    size: SizeOption = None,
    fit: SizeFitOption = None,
    skip_damaged: SkipDamagedOption = False,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was found to this file too.", show_default=False)
    ] = None,
    force: ForceOption = False,
) -> None:
    """Check every image of a source, and show what acn train would do with it. Nothing is trained.

    Prints the images of each split, their sizes, kinds, classes and pixel values, equal images, damaged files, and
    files that are left out. The exit status is 0 if training could begin, else 1.
    """
    from json import dumps

    from rich.console import Console

    from acn.cli.progress import stages
    from acn.data import inspect
    from acn.errors import AcnError, DataError
    from acn.files import write_text_atomically
    from acn.training.prospect import foresee, too_few_steps

    if json is not None:
        check_output(json, force=force, sources=[source])
    skipping = ["data.skip_damaged=true"] if skip_damaged else []
    changes = [*(settings or []), *size_settings(size, fit), *skipping]
    options = Options(source, recipe, changes=tuple(changes))
    data = options.data()
    free = not any(setting.partition("=")[0].strip() == "memory.neighbours" for setting in changes)
    with stages(Console(stderr=True)) as stage:
        inspection = inspect(data, stage)
    prospect, problems = None, [str(problem) for problem in inspection.problems]
    if not problems:
        try:
            shape = inspection.as_trained(data)["train"].shape
            config = options.config(shape)
            prospect = foresee(config, inspection, lower=free)
        except AcnError as error:
            problems = [str(error)]
    console = Console()
    _show(console, inspection)
    if prospect is not None:
        line = _training(options.name(shape), config, prospect)
        console.out(line, highlight=False)
        if (advice := too_few_steps(config, prospect.images["train"])) is not None:
            console.out(advice, highlight=False)
    if json is not None:
        found = inspection.facts() | {"problems": problems, "training": prospect and prospect.facts()}
        write_text_atomically(json, dumps(found, indent=2) + "\n")
    if problems:
        for problem in problems[1:]:
            typer.echo(f"acn: {problem}", err=True)
        raise DataError(problems[0])


def _show(console: "Console", inspection: "Inspection") -> None:
    console.print(_splits(inspection))
    classes = _classes(inspection)
    if classes is not None:
        console.print(classes)
    for line in (*_lines(inspection), *inspection.reading.lines()):
        console.out(line, highlight=False)


def _splits(inspection: "Inspection") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table("split", "images", "height x width", "kinds", title=escape(inspection.name), title_justify="left")
    for split, found in inspection.splits.items():
        sizes = (
            f"{height} x {width}{_times(count, found.images)}" for (height, width), count in found.sizes.most_common()
        )
        kinds = (f"{kind}{_times(count, found.images)}" for kind, count in found.kinds.most_common())
        table.add_row(split, f"{found.images:,}", listed(sizes, MOST_SIZES), listed(kinds, MOST_KINDS))
    return table


def _times(count: int, all_of_them: int) -> str:
    return "" if count == all_of_them else f" ({count:,})"


def _classes(inspection: "Inspection") -> "Table | None":
    """How many images of each class each split has, the largest classes first."""
    from rich.markup import escape
    from rich.table import Table

    columns = {split: found.labels for split, found in inspection.splits.items() if found.labels is not None}
    total = sum(columns.values(), Counter[str]())
    if not total:
        return None
    table = Table("class", *columns, title=counted(len(total), "class", "classes"), title_justify="left")
    for name, _ in total.most_common(MOST_CLASSES):
        table.add_row(escape(name), *(f"{column[name]:,}" for column in columns.values()))
    if len(total) > MOST_CLASSES:
        table.add_row(f"and {len(total) - MOST_CLASSES:,} smaller", *("" for _ in columns))
    return table


def _lines(inspection: "Inspection") -> Iterator[str]:
    """Sentences about pixel values, damaged files and equal images."""
    values = [str(value) for value in inspection.values]
    if values:
        colour = "in colour" if inspection.channels > 1 else "grey"
        named = ", ".join(values) if len(values) <= MOST_VALUES else f"from {values[0]} to {values[-1]}"
        yield f"The images are {colour}, with {counted(len(values), 'pixel value')}: {named}."
    for name, reason in islice(inspection.damaged.items(), MOST_DAMAGED):
        yield f"Damaged: {name} ({reason})."
    if (more := len(inspection.damaged) - MOST_DAMAGED) > 0:
        yield f"Damaged: {counted(more, 'other')}."
    for first, second, count, (one, other) in inspection.copies:
        number = counted(count, "image")
        if first == second:
            verb = "equals an earlier one" if count == 1 else "equal earlier ones"
            advice = (
                "remove them, or splits that are drawn may share them" if len(inspection.splits) == 1 else "remove them"
            )
        else:
            verb = f"equals one of {first}" if count == 1 else f"equal images of {first}"
            advice = f"figures on {second} say less than they seem to: remove them"
        yield f"{number} of {second} {verb}, such as {other} and {one}; {advice}."


def _training(recipe: str, config: "Config", prospect: "Prospect") -> str:
    shape = prospect.shape
    *most, last = (
        f"{count:,} {split}{' (drawn)' if split in prospect.drawn else ''}" for split, count in prospect.images.items()
    )
    size = f"{shape.height} x {shape.width} x {shape.channels}, {shape.levels} levels"
    parts = [f"{prospect.weights:,} weights"]
    if prospect.neighbours is not None:
        lowered = prospect.neighbours != config.memory.neighbours
        parts.append(f"K = {prospect.neighbours}" + (f" (lowered from {config.memory.neighbours})" if lowered else ""))
    parts.append(counted(config.training.epochs, "epoch"))
    limit = config.training.max_minutes
    parts += [f"at most {counted(limit, 'minute')}"] if limit else []
    return (
        f"acn train would begin, with the recipe {recipe}: {', '.join(most)} and {last} images of {size}; "
        f"{config.model.name}, {', '.join(parts)}."
    )
