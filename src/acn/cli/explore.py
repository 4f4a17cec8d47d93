"""`acn explore`: a map of the codes in the browser."""

import threading
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from acn.cli.devices import DeviceOption, find_device
from acn.cli.drawing import RunArgument, SkipDamagedOption
from acn.cli.options import FitOption
from acn.pretrained import located

if TYPE_CHECKING:
    from acn.models import Model
    from acn.settings import Fit
    from acn.web.atlas import Atlas
    from acn.web.explorer import Load, Progress

Split = Literal["train", "valid", "test", "all"]


def explore(
    run: RunArgument,
    source: Annotated[
        str | None,
        typer.Argument(metavar="SOURCE", help="Images. [default: those of the run]", show_default=False),
    ] = None,
    split: Annotated[Split, typer.Option(help="Which images to show.")] = "train",
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Interface to listen on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=65535,
            help="Port to listen on. [default: 8420, or a free one if that is in use]",
            show_default=False,
        ),
    ] = None,
    fit: FitOption = None,
    skip_damaged: SkipDamagedOption = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    device: DeviceOption = "auto",
) -> None:
    """Show the map of the codes, neighbours, reconstructions and an ACN's daydreams in the browser; Ctrl-C ends it."""
    run = located(run)
    if not (run / "config.json").is_file():
        from acn.runs import open_run

        open_run(run)  # raises; it is not asked otherwise, since it takes a second to import
    from acn.web.server import address, listen, serve

    listening = listen(host, port)
    url = address(listening, host)
    typer.echo(url)
    typer.echo("Ctrl-C ends the explorer.", err=True)
    if browser:
        threading.Thread(target=_show, args=(url,), daemon=True).start()
    try:
        early = run if source is None and split == "train" else None
        serve(_loader(run, source, split, fit, device, skip_damaged=skip_damaged), listening, host, early=early)
    except KeyboardInterrupt:
        typer.echo("The explorer has ended.", err=True)


def _show(url: str) -> None:
    import webbrowser

    webbrowser.open(url)


def _loader(
    path: RunArgument, source: str | None, split: Split, fit: "Fit | None", device: str, *, skip_damaged: bool
) -> "Load":
    def load(progress: "Progress") -> "tuple[Atlas, Model]":
        from acn.cli.drawing import say, splits_of
        from acn.errors import UsageError
        from acn.run_models import load_model
        from acn.runs import open_images, open_run
        from acn.web.atlas import open_atlas

        run = open_run(path)
        own = open_images(run) if source is None else None
        if own:
            say(own.reading)
        splits = own.splits if own else splits_of(run, str(source), fit=fit, skip_damaged=skip_damaged)
        if split != "all" and split not in splits:
            raise UsageError(f"--split {split}: {source} has {', '.join(splits)} only")
        shown = {name: images for name, images in splits.items() if split in ("all", name) and len(images)}
        progress.total = sum(map(len, shown.values()))
        atlas = open_atlas(
            run,
            model := load_model(run).with_codes("the explorer").to(find_device(device)),
            shown,
            title=source or run.config.data.source,
            stored=own is not None and _unchanged(own.provenance, run.provenance),
            progress=progress.advance,
        )
        return atlas, model

    return load


def _unchanged(found: dict[str, object], trained_on: dict[str, object]) -> bool:
    return found["fingerprint"] == trained_on.get("fingerprint")
