"""`acn settings`: every setting that a training run reads, with its value and what it is."""

from typing import Annotated

import typer


def settings(
    recipe: Annotated[
        str, typer.Option(metavar="NAME", help="Show the values of this recipe.", show_default=True)
    ] = "images",
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show the settings of this model.", show_default=False)
    ] = None,
) -> None:
    """List the settings that a training run reads, for use with acn train --set."""
    import json

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from acn.config import described, override
    from acn.recipes import recipe as by_name

    config = override(by_name(recipe), [f"model.name={model}"] if model else [])
    table = Table("setting", "value", "what it is", title=f"Settings of the recipe {recipe}", title_justify="left")
    section = None
    for path, value, text in described(config):
        if section not in (None, path.split(".")[0]):
            table.add_section()
        section = path.split(".")[0]
        table.add_row(path, escape(value if isinstance(value, str) else json.dumps(value)), escape(text))
    Console().print(table)
