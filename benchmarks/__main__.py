"""`python -m benchmarks NAME [--json FILE]`, from the root of the repository."""

import argparse
import importlib
import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from acn.errors import StorageError
from acn.files import write_text_atomically
from acn.provenance import provenance


def main() -> None:
    """Run one benchmark; print its figures, and write them with their provenance as JSON where asked."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Run a benchmark and print what it measured.")
    parser.add_argument("name", metavar="NAME", help=f"one of: {', '.join(names()) or 'none yet'}")
    parser.add_argument(
        "--images",
        metavar="SPEC",
        help="of codecs and workers: SOURCE or SOURCE:SPLIT; of pixels: SOURCE; of photographs: a folder; "
        "of archive: how many",
    )
    parser.add_argument("--model", metavar="RUN", help="of local: a model with a local decoder, in place of vlae-mnist")
    parser.add_argument("--minutes", metavar="M", type=float, help="of codecs: train the model of an archive so long")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    arguments = parser.parse_args()
    if arguments.name not in names():
        parser.error(f"there is no benchmark {arguments.name!r}; the benchmarks are {', '.join(names()) or 'none yet'}")
    if arguments.images and arguments.name not in ("archive", "codecs", "photographs", "pixels", "workers"):
        parser.error(f"--images belongs to archive, codecs, photographs, pixels and workers, not to {arguments.name}")
    if arguments.model and arguments.name != "local":
        parser.error(f"--model belongs to local, not to {arguments.name}")
    if arguments.minutes is not None and arguments.name != "codecs":
        parser.error(f"--minutes belongs to codecs, not to {arguments.name}")
    if arguments.minutes is not None and not 0 < arguments.minutes < math.inf:
        parser.error(f"--minutes must be above 0, found {arguments.minutes:g}")
    options = {"images": arguments.images, "model": arguments.model, "minutes": arguments.minutes}
    report = measure(arguments.name, **{name: value for name, value in options.items() if value})
    show(report)
    if arguments.json:
        try:
            write_text_atomically(arguments.json, json.dumps(report, indent=2) + "\n")
        except StorageError as error:
            sys.exit(f"bench: {error}")


def names() -> list[str]:
    """Names of the benchmarks."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def measure(name: str, **options: str | float) -> dict[str, object]:
    """Run the benchmark `name` and return its figures with the code, machine and time that they come from."""
    module = importlib.import_module(f"benchmarks.{name}")
    started = time.perf_counter()
    figures = module.run(lambda line: print(line, file=sys.stderr, flush=True), **options)
    seconds = round(time.perf_counter() - started, 3)
    return {"benchmark": name, "seconds": seconds, "figures": figures, "provenance": provenance()}


def show(report: Mapping[str, object]) -> None:
    """Print a report as a table with one line per figure."""
    table = Table(show_header=False)
    for name, value in flat(report):
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value))
    Console().print(table)


def flat(value: object, name: str = "") -> list[tuple[str, object]]:
    """Name every leaf of nested mappings and lists by its path."""
    if isinstance(value, Mapping):
        return [leaf for key, part in value.items() for leaf in flat(part, f"{name}.{key}".lstrip("."))]
    if isinstance(value, list):
        return [leaf for place, part in enumerate(value) for leaf in flat(part, f"{name}[{place}]")]
    return [(name, value)]


if __name__ == "__main__":
    main()
