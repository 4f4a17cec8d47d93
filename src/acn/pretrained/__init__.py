"""Trained models that come with the package, each a folder as `TrainedModel.save_pretrained` writes it, with its card.

Plain Python: commands look here before they import anything heavy.
"""

from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the models."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def located(path: Path) -> Path:
    """Return `path`, or, where no run lies there and it is the name of a model of the package, that model's folder."""
    own = (path / "config.json").is_file() or str(path) not in names()
    return path if own else FOLDER / path
