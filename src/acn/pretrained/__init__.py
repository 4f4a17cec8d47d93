"""Trained models that come with the package, each a folder as `TrainedModel.save_pretrained` writes it, with its card.

Plain Python: commands look here before they import anything heavy.
"""

from pathlib import Path

from acn.hub import PREFIX, download, downloaded_from

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the models."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def spoken(path: Path) -> Path:
    """What a user calls a run's folder: `mnist` for that of the package, `hub:OWNER/NAME` for what was downloaded."""
    return Path(path.name) if path.parent == FOLDER else Path(downloaded_from(path) or path)


def located(path: Path) -> Path:
    """Return the folder that a run's name stands for: `path` itself, unless no run lies there and it is another name.

    Those are the name of a model of the package, and `hub:OWNER/NAME`, which is downloaded, or was before.

    Raises:
        MissingExtraError, RunError: see `acn.hub.download`.
    """
    if str(path).startswith(PREFIX):
        return download(path)
    own = (path / "config.json").is_file() or str(path) not in names()
    return path if own else FOLDER / path
