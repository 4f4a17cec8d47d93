"""The explorer in a real browser: time to the first view, frames while panning and zooming, and memory."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import Browser, Page
from sklearn.datasets import load_digits
from tests.web.chromium import chromium, find_chromium

from acn.data import open_collection
from acn.distributions import GaussianPrior
from acn.errors import UsageError
from acn.evaluation.costs import encode
from acn.models import build
from acn.parsing import override
from acn.recipes import recipe
from acn.run_models import StoredPriors, save_priors
from acn.runs import WEIGHTS, create_run
from acn.tensors import write_tensors

POINTS = 60_000
STARTS = 5
WINDOW = {"width": 1280, "height": 800}
GESTURE_SECONDS = 4.0


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Open a run with 60,000 images of 28 x 28 pixels in a Chromium that runs already and draws WebGL in software.

    Times are medians from the start of the process `acn explore`: to the page, to all points being drawn, and to their
    colours, when images can be asked for; `processor` is what the server itself has used by then. Frames are intervals
    between animation frames while a mouse drags, and while its wheel turns. The model is not trained.
    """
    path = find_chromium()
    if path is None:
        raise UsageError("the benchmark needs Chromium: install it, or let ACN_CHROMIUM name it")
    with tempfile.TemporaryDirectory() as folder, chromium(path) as browser:
        made = make_run(Path(folder))
        progress(f"a run with {POINTS:,} images is made")
        starts = [start(browser, made) for _ in range(STARTS)]
        medians = {step: statistics.median(seconds[step] for seconds in starts) for step in starts[0]}
        progress(f"points after {medians['points_drawn']:.2f} s, colours after {medians['colours_and_images']:.2f} s")
        return {
            "setting": {"points": POINTS, "window": list(WINDOW.values()), "browser": browser.version},
            "median_seconds": medians,
            "seconds": starts,
            **visit(browser, made),
        }


def make_run(folder: Path) -> Path:
    """Write a run on enlarged, shifted and binarized digits."""
    random = np.random.default_rng(0)
    digits = load_digits()
    chosen = random.integers(0, len(digits.images), POINTS + 200)
    images = np.zeros((len(chosen), 28, 28), dtype=np.uint8)
    large = digits.images.repeat(3, axis=1).repeat(3, axis=2) / 16
    for row, (digit, down, right) in enumerate(zip(chosen, *random.integers(0, 5, (2, len(chosen))), strict=True)):
        images[row, down : down + 24, right : right + 24] = large[digit] > random.random((24, 24))
    labels = digits.target[chosen]
    parts = {"train": slice(POINTS), "valid": slice(POINTS, POINTS + 100), "test": slice(POINTS + 100, None)}
    arrays = {f"{name}_images": images[part] for name, part in parts.items()}
    arrays |= {f"{name}_labels": labels[part] for name, part in parts.items()}
    np.savez_compressed(folder / "images.npz", **arrays)  # type: ignore[arg-type]
    config = override(recipe("mnist-cpu"), [f"data.source={folder / 'images.npz'}"])
    collection = open_collection(config.data)
    made = create_run(folder / "run", config, collection.shape, provenance=collection.provenance, made={})
    torch.manual_seed(0)
    model = build(config.model, collection.shape).eval()
    write_tensors(made.path / WEIGHTS, model.state_dict(), {})
    size = model.code_size
    prior = GaussianPrior(torch.ones(1).double(), torch.zeros(1, size).double(), torch.ones(1, size).double())
    save_priors(made, StoredPriors(prior, encode(model, collection.train, lambda _: None)))
    return made.path


def start(browser: Browser, made: Path) -> dict[str, float]:
    """Seconds from the start of the process to each of the steps."""
    page = browser.new_page(viewport=WINDOW)  # type: ignore[arg-type]
    begin = time.perf_counter()
    with _server(made) as process:
        page.goto(_url(process), wait_until="commit")
        seconds = {"page": time.perf_counter() - begin}
        page.wait_for_selector("html[data-drawn]")
        seconds["points_drawn"] = time.perf_counter() - begin
        page.wait_for_selector("html[data-drawn=yes]")
        seconds["colours_and_images"] = time.perf_counter() - begin
        used = os.times()
        process.terminate()
        process.wait()
        after = os.times()
    page.close()
    seconds["processor"] = after.children_user + after.children_system - used.children_user - used.children_system
    return seconds


def visit(browser: Browser, made: Path) -> dict[str, object]:
    """Use the page, and measure it and the server."""
    page = browser.new_page(viewport=WINDOW)  # type: ignore[arg-type]
    with _server(made) as process:
        page.goto(_url(process))
        page.wait_for_selector("html[data-drawn=yes]")
        time.sleep(1)
        figures: dict[str, object] = {
            "pan": frames(page, lambda: _drag(page)),
            "zoom": frames(page, lambda: _wheel(page)),
            "milliseconds": {name: _milliseconds(page, path) for name, path in PATHS.items()},
            "page_heap_mib": page.evaluate("performance.memory.usedJSHeapSize") / 2**20,
            "server_peak_mib": _peak_mib(process.pid),
        }
        process.terminate()
    page.close()
    return figures


PATHS = {
    "image": "image/x/7.png",
    "nearest_by_code": "item/7",
    "nearest_by_pixels": "item/7/pixels",
    "six_reconstructions": "item/7/reconstructions",
    "ten_steps_of_a_daydream": "item/7/dream?steps=10",
}


def frames(page: Page, gesture: Callable[[], None]) -> dict[str, float]:
    """Milliseconds between animation frames during a gesture."""
    page.evaluate(
        """() => {
            window.frameTimes = [];
            const note = (now) => { window.frameTimes.push(now); window.noting = requestAnimationFrame(note); };
            window.noting = requestAnimationFrame(note);
        }"""
    )
    gesture()
    times = page.evaluate("() => { cancelAnimationFrame(window.noting); return window.frameTimes; }")
    intervals = np.array([after - before for before, after in pairwise(times)])
    return {
        "frames": len(intervals),
        "median_ms": float(np.median(intervals)),
        "p95_ms": float(np.quantile(intervals, 0.95)),
        "longest_ms": float(intervals.max()),
    }


def _drag(page: Page) -> None:
    page.mouse.move(500, 400)
    page.mouse.down()
    begin = time.perf_counter()
    while (passed := time.perf_counter() - begin) < GESTURE_SECONDS:
        page.mouse.move(500 + 150 * np.sin(3 * passed), 400 + 100 * np.sin(2 * passed))
    page.mouse.up()


def _wheel(page: Page) -> None:
    begin = time.perf_counter()
    while (passed := time.perf_counter() - begin) < GESTURE_SECONDS:
        page.mouse.wheel(0, -30 if passed < GESTURE_SECONDS / 2 else 30)


def _milliseconds(page: Page, path: str) -> float:
    """Median of three requests, each read to its end by the page."""
    asked = "async (path) => { await (await fetch(path)).text(); }"
    times = []
    for repeat in range(3):
        begin = time.perf_counter()
        page.evaluate(asked, f"/api/{path}{'&' if '?' in path else '?'}near={12 + repeat}")
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times)


def _server(made: Path) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-m", "acn", "explore", str(made), "--no-browser", "--port", "0"]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _url(process: "subprocess.Popen[str]") -> str:
    assert process.stdout  # noqa: S101 - asked for above
    return process.stdout.readline().strip()


def _peak_mib(pid: int) -> float | None:
    """Most memory that the process has held, where the system tells."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**10
