"""`acn reproduce`: the paper's tables and figures, and the ablations, from training to the written page."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acn.cli.evaluate import DeviceOption
from acn.cli.train import train_on

if TYPE_CHECKING:
    from rich.console import Console

    from acn.reproduction.documents import Document
    from acn.reproduction.parts import Part
    from acn.reproduction.plan import Scale, Training
    from acn.reproduction.summary import Found
    from acn.reproduction.trainings import Result, Workshop


def reproduce(
    part: Annotated[
        str,
        typer.Argument(
            metavar="PART",
            help="table1 ... table3, figure2 ... figure6, decoders, ablations (or one, as ablation-prior), or all.",
            show_default=False,
        ),
    ],
    scale: Annotated[
        str, typer.Option(metavar="NAME", help="cpu: minutes for each training; paper: the paper's own, for a GPU.")
    ] = "cpu",
    data: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Other images. [default: mnist_static.npz]", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where tables and figures go.")] = Path("results"),
    runs: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the runs are. [default: runs/reproduce-SCALE]", show_default=False),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each model, with seeds 0, 1, 2 ...")] = 3,
    device: DeviceOption = "auto",
    only_made: Annotated[
        bool, typer.Option("--only-made", help="Train nothing: show the runs that are there.")
    ] = False,
) -> None:
    """Train what a table or figure of the paper needs and is not there yet, and write it. Ctrl-C saves."""
    from rich.console import Console

    from acn.reproduction.parts import parts_named, scale_named

    chosen, size, console = parts_named(part), scale_named(scale), Console()
    folder = runs or Path("runs") / f"reproduce-{size}"
    for option, path in (("--out", out), ("--runs", folder)):
        _check_folder(option, path)
    to_go_on = shlex.join(["acn", *sys.argv[1:]])
    source, workshop = _workshop(console, size, data, folder, device, to_go_on)
    needed = {name: each.trainings(size, seeds, source) for name, each in chosen.items()}
    command = shlex.join(["acn", "reproduce", part, "--scale", size, *(["--data", data] if data else [])])
    job = _Job(console, workshop, out, command, only_made, _plan(needed, workshop))
    try:
        for number, name in enumerate(chosen, 1):
            console.print(f"part {number} of {len(chosen)}: {name}", highlight=False)
            job.make(name, chosen[name], needed[name])
    except KeyboardInterrupt:
        console.print(f"Stopped; what is finished stays. Go on with: {to_go_on}", soft_wrap=True, highlight=False)
        raise typer.Exit(130) from None
    job.check_written(part)


@dataclass
class _Job:
    """Makes parts one after the other, and every training once: `results` holds those that were asked for."""

    console: "Console"
    workshop: "Workshop"
    out: Path
    command: str
    only_made: bool
    planned: "list[Training]"
    results: "dict[Training, Result | None]" = field(default_factory=dict)
    written: int = 0

    def make(self, name: str, part: "Part", needed: "list[Training]") -> None:
        """Bring the trainings of a part to their end and write it, or say why not."""
        fitting = [training for training in needed if training in self.planned]
        left_out = [training for training in needed if training not in self.planned]
        results = {training: self._result(training) for training in fitting}
        missing = [training for training, result in results.items() if result is None]
        there = [result for result in results.values() if result is not None]
        found = {v: [r for r in there if r.training.variant == v] for v in part.variants}
        found = {variant: those for variant, those in found.items() if those}
        if not part.possible(found):
            names = ", ".join(training.name for training in [*missing, *left_out])
            self.console.print(f"{name} is not written: there is no finished {names}", soft_wrap=True, highlight=False)
            return
        self._publish(self._document(part, found, missing, left_out))

    def check_written(self, part: str) -> None:
        """Refuse to call it a success where nothing was written.

        Raises:
            RunError: no part was possible.
        """
        from acn.errors import RunError

        if not self.written:
            raise RunError(
                f"nothing was written: {self.workshop.folder} holds no finished training of {part}; "
                "run the command without --only-made"
            )

    def _result(self, training: "Training") -> "Result | None":
        if training not in self.results:
            self.results[training] = self.workshop.finished(training)
            if self.results[training] is None and not self.only_made:
                self.results[training] = self._trained(training)
        return self.results[training]

    def _trained(self, training: "Training") -> "Result":
        from acn.cli.progress import stages
        from acn.reproduction.plan import VARIANTS

        number, text = self.planned.index(training) + 1, VARIANTS[training.variant].text
        self.console.print(
            f"training {number} of {len(self.planned)}: {text}, seed {training.seed}, in "
            f"{self.workshop.folder / training.name}",
            soft_wrap=True,
            highlight=False,
        )
        run = self.workshop.done(training)
        with stages(self.console) as stage:
            return replace(self.workshop, stage=stage).evaluated(training, run)

    def _document(
        self, part: "Part", found: "Found", missing: "Sequence[Training]", left_out: "Sequence[Training]"
    ) -> "Document":
        from acn.cli.progress import stages
        from acn.reproduction.material import Material
        from acn.reproduction.parts import document_of

        with stages(self.console) as stage:
            material = Material(found, self.workshop.collection, self.out, self.workshop.device, stage)
            return document_of(part, material, missing, left_out)

    def _publish(self, document: "Document") -> None:
        from acn.provenance import provenance
        from acn.reproduction.documents import terminal_table, write

        made = {"command": self.command, **provenance(str(self.workshop.device))}
        paths = [*([self.out / document.picture] if document.picture else []), *write(document, self.out, made)]
        if document.rows:
            self.console.print(terminal_table(document))
        self.console.print(f"Written: {', '.join(map(str, paths))}", soft_wrap=True, highlight=False)
        self.written += 1


def _workshop(
    console: "Console", scale: "Scale", data: str | None, folder: Path, device: str, to_go_on: str
) -> "tuple[str, Workshop]":
    """Open the images; return where they come from, and the workshop for them."""
    from acn.cli.devices import find_device
    from acn.data import open_collection
    from acn.recipes import recipe
    from acn.reproduction.plan import BASES
    from acn.reproduction.trainings import Workshop

    place, settings = find_device(device), recipe(BASES[scale]).data
    source = settings.source if data is None else data
    with console.status("Reading images"):
        collection = open_collection(settings.model_copy(update={"source": source}))
    return source, Workshop(
        folder,
        collection,
        place,
        train=lambda run, state: train_on(console, run, collection, state, to_go_on),
        stage=lambda name, length: lambda count: None,
    )


def _plan(needed: "dict[str, list[Training]]", workshop: "Workshop") -> "list[Training]":
    """Every training once, but for those that ask for more neighbours than there are images."""
    images = len(workshop.collection.train)
    distinct = dict.fromkeys(training for trainings in needed.values() for training in trainings)
    return [training for training in distinct if training.fits(images)]


def _check_folder(option: str, path: Path) -> None:
    """Refuse a path that cannot become a folder, before hours of training.

    Raises:
        UsageError: it, or what should be above it, is a file.
    """
    from acn.errors import UsageError

    there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise UsageError(f"{option} expects a folder, found the file {there}; choose another place")
