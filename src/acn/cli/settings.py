"""`acn settings`: every setting that a training run reads, with its value and what it is."""

from acn.cli.options import FamilyOption, FormerModelOption, RecipeOption, check_family


def settings(
    recipe: RecipeOption = None,
    family: FamilyOption = None,
    former: FormerModelOption = None,
) -> None:
    """List the settings that a training run reads, for use with acn train --set; without --recipe those of images."""
    import json

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from acn.parsing import described, override
    from acn.recipes import recipe as by_name

    check_family(former)
    name = recipe or "images"
    config = override(by_name(name), [f"model.name={family}"] if family else [])
    table = Table("setting", "value", "what it is", title=f"Settings of the recipe {name}", title_justify="left")
    section = None
    for path, value, text in described(config):
        if section not in (None, path.split(".")[0]):
            table.add_section()
        section = path.split(".")[0]
        table.add_row(path, escape(value if isinstance(value, str) else json.dumps(value)), escape(text))
    Console().print(table)
