"""`acn reproduce`: the papers' tables and figures, and the ablations, from training to the written page."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from acn.cli.devices import DeviceOption, find_device
from acn.cli.train import train_on
from acn.wording import command

if TYPE_CHECKING:
    from rich.console import Console

    from acn.data import Collection
    from acn.reproduction.documents import Document
    from acn.reproduction.parts import Part
    from acn.reproduction.plan import Training
    from acn.reproduction.summary import Found
    from acn.reproduction.trainings import Result, Trainer

WAIT_SECONDS = 2.0


def reproduce(
    part: Annotated[
        str,
        typer.Argument(
            metavar="PART",
            help="table1 ... table7, figure2 ... figure16, classes-cifar10, classes-imagenet32, colour for those of "
            "images in colour; decoders, ablations (or one, as ablation-prior); "
            "vlae-table1 ... vlae-table5, vlae-ablation, vlae-figure1 ... vlae-figure4, vlae for these; or all.",
            show_default=False,
        ),
    ],
    scale: Annotated[
        Literal["cpu", "paper"],
        typer.Option(help="cpu: minutes for each run; paper: the paper's own networks, for a GPU."),
    ] = "cpu",
    data: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Other images. [default: those of the paper]", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where tables and figures go. [default: results, or results/paper for --scale paper]",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the runs are. [default: runs/reproduce-SCALE]", show_default=False),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Runs of each model, with seeds 0, 1, 2 ...")] = 3,
    device: DeviceOption = "auto",
    only_made: Annotated[
        bool, typer.Option("--only-made", help="Train nothing: show the runs that are finished.")
    ] = False,
) -> None:
    """Train the missing runs of a table or figure of the papers, and write it. Ctrl-C saves."""
    from rich.console import Console

    from acn.provenance import provenance
    from acn.reproduction.parts import parts_named

    chosen, console = parts_named(part), Console()
    folder = runs or Path("runs") / f"reproduce-{scale}"
    pages = out or Path("results") / ("" if scale == "cpu" else scale)
    for option, path in (("--out", pages), ("--runs", folder)):
        _check_folder(option, path)
    to_go_on = command(*sys.argv[1:])
    trainers = _trainers(console, chosen, data, folder, device, to_go_on)
    chosen = {name: each for name, each in chosen.items() if each.study in trainers}
    needed = {name: each.trainings(scale, seeds, data) for name, each in chosen.items()}
    other = ["--data", data] if data else []
    repeated = command("reproduce", part, "--scale", scale, "--seeds", seeds, *other)
    # Asked before the first file is written: the files themselves may lie in the repository.
    made = {"command": repeated, **provenance(str(find_device(device)))}
    job = _Job(console, trainers, pages, made, only_made, chosen, needed)
    try:
        job.make()
    except KeyboardInterrupt:
        console.out(f"Stopped; finished runs are kept. Resume with: {to_go_on}", highlight=False)
        raise typer.Exit(130) from None
    job.check_written(part)


@dataclass
class _Job:
    """Makes every training once, and every part as soon as the trainings that it needs are there.

    `trainers`: by study. `made`: by which command, code and machine. `parts` and the trainings they need go by name.
    `results` and `written` grow: None is a training that is not there and not to be made, False a part that had too few
    of them.
    """

    console: "Console"
    trainers: "dict[str, Trainer]"
    out: Path
    made: dict[str, object]
    only_made: bool
    parts: "dict[str, Part]"
    needed: "dict[str, list[Training]]"
    results: "dict[Training, Result | None]" = field(default_factory=dict)
    written: dict[str, bool] = field(default_factory=dict)

    @cached_property
    def planned(self) -> "list[Training]":
        """Every training once, but for those that do not fit the images."""
        distinct = dict.fromkeys(training for trainings in self.needed.values() for training in trainings)
        return [training for training in distinct if self._unfit(training) is None]

    def make(self) -> None:
        """Settle one training after the other, the first that no other process has in hand."""
        self._write_complete()
        while waiting := [training for training in self.planned if training not in self.results]:
            if not any(self._settled(training) for training in waiting):
                self._wait(waiting[0])

    def check_written(self, part: str) -> None:
        """Refuse to call it a success where nothing was written.

        Raises:
            RunError: no part was possible.
        """
        from acn.errors import RunError

        if not any(self.written.values()):
            folder = next(iter(self.trainers.values())).folder
            raise RunError(
                f"nothing was written: {folder} holds no finished run of {part}; run the command without --only-made"
            )

    def _settled(self, training: "Training") -> bool:
        """Find or make a training, and the parts that waited for it; False where another process is at it."""
        from acn.errors import BusyError
        from acn.runs import held

        trainer = self._trainer(training)
        result = trainer.finished(training)
        if result is None and not self.only_made:
            try:
                with held(trainer.folder / training.name):
                    result = self._trained(training)
            except BusyError:
                return False
        self.results[training] = result
        self._write_complete()
        return True

    def _wait(self, training: "Training") -> None:
        with self.console.status(f"Another process is training {self._trainer(training).folder / training.name}"):
            time.sleep(WAIT_SECONDS)

    def _trained(self, training: "Training") -> "Result":
        from rich.console import Console

        from acn.cli.progress import stages
        from acn.reproduction.plan import VARIANTS

        number, text = self.planned.index(training) + 1, VARIANTS[training.variant].text
        trainer = self._trainer(training)
        self.console.out(
            f"training {number} of {len(self.planned)}: {text}, seed {training.seed}, "
            f"in {trainer.folder / training.name}",
            highlight=False,
        )
        run = trainer.done(training)
        with stages(Console(stderr=True)) as stage:
            return replace(trainer, stage=stage).evaluated(training, run)

    def _write_complete(self) -> None:
        """Write the parts whose trainings are settled by now."""
        for name, part in self.parts.items():
            planned = [training for training in self.needed[name] if training in self.planned]
            if name not in self.written and all(training in self.results for training in planned):
                number = list(self.parts).index(name) + 1
                self.console.print(f"part {number} of {len(self.parts)}: {name}", highlight=False)
                self.written[name] = self._write(name, part)

    def _write(self, name: str, part: "Part") -> bool:
        """Write a part, or say why not."""
        needed = self.needed[name]
        left_out = {training: reason for training in needed if (reason := self._unfit(training)) is not None}
        results = {training: self.results[training] for training in needed if training in self.planned}
        missing = [training for training, result in results.items() if result is None]
        there = [result for result in results.values() if result is not None]
        found = {v: [r for r in there if r.training.variant == v] for v in part.variants}
        found = {variant: those for variant, those in found.items() if those}
        if not part.possible(found):
            names = ", ".join(training.name for training in [*missing, *left_out])
            self.console.out(f"{name} is not written: there is no finished {names}", highlight=False)
            return False
        self._publish(self._document(part, found, missing, left_out))
        return True

    def _trainer(self, training: "Training") -> "Trainer":
        return self.trainers[training.group]

    def _unfit(self, training: "Training") -> str | None:
        return training.unfit(self._trainer(training).collection)

    def _document(
        self, part: "Part", found: "Found", missing: "Sequence[Training]", left_out: "Mapping[Training, str]"
    ) -> "Document":
        from rich.console import Console

        from acn.cli.progress import stages
        from acn.reproduction.parts import document_of
        from acn.reproduction.summary import PageInputs

        trainer = self.trainers[part.study]
        with stages(Console(stderr=True)) as stage:
            inputs = PageInputs(found, trainer.collection, self.out, trainer.device, stage)
            return document_of(part, inputs, missing, left_out)

    def _publish(self, document: "Document") -> None:
        from acn.reproduction.documents import terminal_table, write

        paths = [*([self.out / document.picture] if document.picture else []), *write(document, self.out, self.made)]
        if document.rows:
            self.console.print(terminal_table(document))
        self.console.out(f"Written: {', '.join(map(str, paths))}", highlight=False)


def _trainers(
    console: "Console", parts: "dict[str, Part]", data: str | None, folder: Path, device: str, to_go_on: str
) -> "dict[str, Trainer]":
    """Open the images of each study that some of the `parts` belong to; those are left out whose images are not there.

    Raises:
        DataError: there are no images for any of them, or they are not usable.
    """
    from acn.data.sources import located
    from acn.errors import DataError
    from acn.reproduction.studies import STUDIES
    from acn.reproduction.trainings import Trainer

    place = find_device(device)
    read = cache(partial(_collection, console))  # studies may share their images
    opened: dict[str, Collection] = {}
    absent: dict[str, DataError] = {}
    for name in dict.fromkeys(part.study for part in parts.values()):
        source = STUDIES[name].source if data is None else data
        try:
            opened[name] = read(STUDIES[name].reading(source))
        except DataError as error:
            if data is not None or located(source) is not None:
                raise
            absent[name] = error
    if not opened:
        raise next(iter(absent.values()))
    for name, why in absent.items():
        left_out = ", ".join(part for part, each in parts.items() if each.study == name)
        console.out(f"Left out: {left_out}; {why}", highlight=False)

    def trainer(collection: "Collection") -> "Trainer":
        return Trainer(
            folder,
            collection,
            place,
            train=lambda run, state: train_on(console, run, collection, state, to_go_on),
            stage=lambda name, length: lambda count: None,
        )

    return {name: trainer(collection) for name, collection in opened.items()}


def _collection(console: "Console", reading: tuple[str, ...]) -> "Collection":
    from acn.config import Config
    from acn.data import open_collection
    from acn.parsing import override

    with console.status("Reading images"):
        return open_collection(override(Config(), reading).data)


def _check_folder(option: str, path: Path) -> None:
    """Refuse a path that cannot become a folder, before hours of training.

    Raises:
        UsageError: it, or what should be above it, is a file.
    """
    from acn.errors import UsageError

    there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise UsageError(f"{option} expects a folder, found the file {there}; choose another place")
