"""Commands that read an archive say which one is wrong."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from acn.cli.main import app
from acn.errors import ArchiveError

GOLDEN = sorted((Path(__file__).parents[1] / "codec" / "golden").glob("*.acn"))


@pytest.mark.parametrize("command", [("info",), ("verify",), ("decompress", "out.npz")])
@pytest.mark.parametrize("left", [0, 40, -1])
def test_a_damaged_archive_is_named(
    command: tuple[str, ...], left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_bytes(GOLDEN[0].read_bytes()[:left])
    name, *out = command
    with pytest.raises(ArchiveError, match=r"^a: (the|expected an) archive"):
        CliRunner().invoke(app, [name, "a", *out], catch_exceptions=False)
    assert not Path("out.npz").exists()
