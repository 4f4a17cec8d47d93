import json
import re
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image

from acn.config import Config, ImageShape
from acn.evaluation.plots import plot_curves
from acn.evaluation.report import html_report
from acn.runs import METRICS, Run
from tests.evaluation.test_table import evaluation

SHAPE = ImageShape(height=8, width=8, channels=1, levels=2)


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_says_how_the_likelihood_was_sampled(tmp_path: Path) -> None:
    run = Run(tmp_path, Config(), SHAPE, {}, {})
    sampled = evaluation(importance={"samples": 64, "images": 100, "negative_elbo": 80.0}, nll=78.5)
    assert "<p>Importance sampling, K = 64, 100 images of the test split: " in html_report(run, sampled)
    assert "<td>negative log-likelihood, sampled (see below)</td><td>78.50</td>" in html_report(run, sampled)
    assert "<p>Importance" not in html_report(run, evaluation(nll=None))


def test_the_page_says_what_an_inverted_file_found(tmp_path: Path) -> None:
    run = Run(tmp_path, Config(), SHAPE, {}, {})
    assert "inverted file" not in html_report(run, evaluation())
    rows = [{"step": 1, "recall": 0.975}, {"step": 2}, {"step": 3, "recall": 0.9}, {"step": 4, "recall": 0.95}]
    (tmp_path / METRICS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = "which found 95.0% of the nearest when last compared with an exact search, and 90.0% at the worst of 3"
    assert expected in html_report(run, evaluation())
    (tmp_path / METRICS).write_text(json.dumps(rows[0]) + "\n")
    assert "which found 97.5% of the nearest when last compared with an exact search.<" in html_report(
        run, evaluation()
    )


def test_the_page_holds_everything_and_needs_no_network(tmp_path: Path) -> None:
    Image.new("L", (70, 70)).save(tmp_path / "samples.png")
    page = html_report(Run(tmp_path, Config(), SHAPE, {}, {}), evaluation())
    reader = Reader()
    reader.feed(page)
    assert reader.addresses
    assert all(address.startswith("data:image/") for address in reader.addresses)
    assert not re.search(r"https?://", page)
    for text in ("<my images>", "list: order kept", "12.35", "98.76", "learning_rate", "Samples"):
        assert text in reader.text
    assert "Reconstructions" not in reader.text  # there is no such picture in the folder


def test_curves_are_drawn_of_any_number_of_rows(tmp_path: Path) -> None:
    row = {"images": 10, "total": 5.0, "reconstruction": 4.0, "kl": 1.0, "code_std": 0.5}
    for rows in ([], [row], [row | {"code_std": None}] * 50):  # the last are of a model without codes
        plot_curves(rows, tmp_path / "curves.png")
        with Image.open(tmp_path / "curves.png") as picture:
            assert min(picture.size) > 300
