"""Trained models on the Hugging Face hub, through the optional library `huggingface_hub`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acn.errors import MissingExtraError, RunError

PREFIX = "hub:"
# What `acn.run_models.save_model` and `acn publish` write; a repository may hold more.
FILES = ["config.json", "*.safetensors", "*.acnm", "README.md"]


def hub_name(folder: str | Path) -> str | None:
    """Return OWNER/NAME where `folder` is hub:OWNER/NAME, or OWNER/NAME while there is no folder OWNER; else None."""
    text = str(folder)
    if text.startswith(PREFIX):
        return text.removeprefix(PREFIX)
    known = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", text) and not Path(text).parent.exists()
    return text if known else None


def download(model: str | Path, revision: str | None = None) -> Path:
    """Fetch a model that `hub_name` knows, or take the copy of an earlier call, and return its folder.

    Raises:
        MissingExtraError: it is hub:OWNER/NAME, and the library is not installed.
        RunError: there is no such model, or the network or the hub refused.
    """
    name, said = hub_name(model), str(model).startswith(PREFIX)
    what = f"loading {name} from the hub"
    try:
        library = _library(what)
        with _refusals(what):
            return Path(library.snapshot_download(repo_id=name, revision=revision, allow_patterns=FILES))
    except (MissingExtraError, RunError) as error:
        if said:
            raise
        raise RunError(f"there is no folder {name}, and {error}") from error


def downloaded_from(folder: Path) -> str | None:
    """Return hub:OWNER/NAME for a folder where `download` put that model, None for any other."""
    kept = re.fullmatch(r"models--(.+?)--(.+)", folder.parent.parent.name)
    return f"{PREFIX}{kept[1]}/{kept[2]}" if kept and folder.parent.name == "snapshots" else None


def upload(folder: Path, name: str, *, private: bool) -> str:
    """Upload the files of `folder` to OWNER/NAME, which is made where it is not there, and return the address.

    Raises:
        MissingExtraError, RunError: see `download`.
    """
    what = f"pushing {name} to the hub"
    library = _library(what)
    with _refusals(what):
        api = library.HfApi()
        address = api.create_repo(repo_id=name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="Upload the model by acn")
        return str(address)


def _library(purpose: str) -> Any:  # noqa: ANN401 - the library may be absent
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", purpose) from error
    return huggingface_hub


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the library's own, and those of whichever network library it uses
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise RunError(
            f"{what} failed: {reason}; check the name, the network and your login (hf auth login)"
        ) from error
