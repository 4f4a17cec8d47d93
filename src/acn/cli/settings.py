"""`acn settings`: every setting that a training run reads, with its value and what it is."""

from typing import Annotated

import typer

from acn.cli.options import FamilyOption, FormerModelOption, check_family
from acn.recipes import RECIPES


def settings(
    recipe: Annotated[
        str, typer.Option(metavar="NAME", help=f"The recipe whose settings to list: {', '.join(RECIPES)}.")
    ] = "images",
    family: FamilyOption = None,
    former: FormerModelOption = None,
) -> None:
    """List the settings that a training run reads, for acn train --set."""
    import json

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from acn.parsing import described, override
    from acn.recipes import recipe as by_name

    check_family(former)
    config = override(by_name(recipe), [f"model.name={family}"] if family else [])
    table = Table("setting", "value", "what it is", title=f"Settings of the recipe {recipe}", title_justify="left")
    section = None
    for path, value, text in described(config):
        if section not in (None, path.split(".")[0]):
            table.add_section()
        section = path.split(".")[0]
        table.add_row(path, escape(value if isinstance(value, str) else json.dumps(value)), escape(text))
    Console().print(table)
