"""What the documents show is true: examples run, commands exist, and the site builds without a warning."""

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import acn
from acn.cli.main import Sections, app

REPOSITORY = Path(__file__).parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
PROSE, COLUMNS = [*PAGES, REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "FORMAT.md"], 120
EXAMPLES = [page for page in PAGES if ">>> " in page.read_text(encoding="utf-8")]
NAMES = [str(page.relative_to(REPOSITORY)) for page in PAGES]


def fenced(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def failures(text: str, name: str) -> int:
    test = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    assert test.examples
    return doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.stem)
def test_examples_of_pages_print_what_they_say(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = "\n".join(block for block in fenced(page, "python") if block.startswith(">>> "))
    assert failures(shown, page.name) == 0, capsys.readouterr().out


def test_the_example_of_the_package_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert failures(acn.__doc__ or "", "acn") == 0, capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_of_pages_are_commands(page: Path) -> None:
    """Names, options, and their values; what is shown of another program is not looked at."""
    group = typer.main.get_command(app)
    assert isinstance(group, Sections)
    for block in fenced(page, "sh"):
        for line in block.splitlines():
            if line.startswith("acn "):
                name, *arguments = shlex.split(line, comments=True)[1:]
                assert name in group.commands, line
                group.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.stem)
def test_prose_is_wrapped(page: Path) -> None:
    """Tables, code, pictures and headings cannot be."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in text.splitlines() if not line.startswith(("|", "#", "!["))]
    assert [line for line in lines if len(line) > COLUMNS and " " in line.strip()] == []


def test_every_page_stands_in_the_menu() -> None:
    index = REPOSITORY / "docs" / "index.md"
    menu = " ".join(fenced(index, r"\{toctree\}")).split()
    assert {str(page.relative_to(index.parent).with_suffix("")) for page in PAGES[1:]} - {"index"} <= set(menu)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    for library in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(library, reason="the site needs the extra docs: pip install -e '.[docs]'")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "-c", "docs", "."]
    built = subprocess.run([*command, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    reference = (tmp_path / "docs" / "api.html").read_text(encoding="utf-8")
    for name in ("acn.load", "acn.train", "acn.TrainedModel.reconstruct", "acn.ACNEncoder.fit", "acn.codec.compress"):
        assert f'id="{name}"' in reference
