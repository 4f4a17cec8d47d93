"""Settings from plain data, from a JSON file, and from `section.key=value`; and their description.

A misspelt key, a value out of range, a combination that cannot work or a setting that the model does not read is
refused here, with a sentence that says what to change, before any data is read. Settings that nobody named and nothing
reads, such as those that a model of another kind left, take their defaults, so that no code has to ask whether they
count.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from acn.config import Config
from acn.errors import UsageError
from acn.families import (
    FAMILIES,
    ACNSettings,
    ModelSettings,
    family_names,
)
from acn.settings import Only
from acn.wording import complaint

# Characters of a user's text that a message repeats.
QUOTED = 300


def override(config: Config, assignments: Iterable[str]) -> Config:
    """Return `config` with `section.key=value` assignments applied; values are JSON, or plain text where they are no
    JSON.

    An assignment to `model.name` comes first: the other family keeps those settings of `config` that mean the same to
    it.

    Raises:
        UsageError: an assignment has no `=`, names no setting, or one that the model does not read, or gives a value
            that the setting refuses.
    """
    given: dict[str, str] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set expects section.key=value, found {assignment!r}")
        given[path.strip()] = text.strip()
    tree: dict[str, Any] = config.model_dump()
    if name := given.get("model.name"):
        tree["model"] = _carried_over(tree["model"], name)
    for path, text in given.items():
        _assign(tree, path, text)
    made = _built(tree)
    read = _without_unread(made)
    for config in (made, read):  # what is read only with a setting that is not read is not read either
        _refuse_unread(config, given)
    return read


def validated(tree: Mapping[str, Any]) -> Config:
    """Build a `Config` from plain data, of which all that is left out or not read has its default, the family too.

    Raises:
        UsageError: naming the first setting that is wrong and why.
    """
    return _without_unread(_built(tree))


def _built(tree: Mapping[str, Any]) -> Config:
    """See `validated`; what is not read is as it was given."""
    model = tree.get("model")
    if isinstance(model, Mapping):
        tree = {**tree, "model": {"name": ACNSettings().name, **model}}
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        reason = complaint(first["msg"])
        # A check of a whole section says itself what it found.
        found = "" if isinstance(first["input"], Mapping) else f", found {shorten(repr(first['input']))}"
        raise UsageError(f"setting {_place(first['loc'], tree)}: {reason}{found}") from error


def _without_unread(config: Config) -> Config:
    """The same settings, of which all that are not read have their defaults."""
    tree, unread = config.model_dump(), False
    for path, field, value in _fields(config):
        only = _only(field)
        if only is not None and not only.holds(config) and value != field.default:
            *sections, key = path.split(".")
            node = tree
            for section in sections:
                node = node[section]
            node[key], unread = field.default, True
    # Once more: whether a setting is read may hang on one that was not.
    return _without_unread(_built(tree)) if unread else config


def stored(tree: Mapping[str, Any]) -> Config:
    """Build a `Config` from what a run stored, which may hold settings that its family does not read any more.

    Raises:
        UsageError: naming the first setting that is wrong and why.
    """
    model = tree.get("model")
    if isinstance(model, Mapping):
        name = model.get("name", "acn")
        if isinstance(name, str):  # an unknown one is refused there, with those that there are
            tree = {**tree, "model": _of_family(model, name)}
    return validated(tree)


def read_config(file: Path) -> Config:
    """Read settings from a JSON file: the `config.json` of a run, or settings alone, of which some may be left out.

    Raises:
        UsageError: the file cannot be read, is no JSON, or holds a setting that is wrong.
    """
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"expected settings as JSON in {file}, such as a run's config.json; {reason}") from error
    if not isinstance(tree, Mapping):
        raise UsageError(f"expected settings as JSON in {file}, found {type(tree).__name__}")
    return stored(tree["config"]) if isinstance(tree.get("config"), Mapping) else validated(tree)


def described(config: Config) -> Iterator[tuple[str, object, str]]:
    """Path, value and description of every setting that is read under `config`."""
    for path, field, value in _fields(config):
        only = _only(field)
        if only is None or only.holds(config):
            yield path, value, field.description or ""


def _of_family(model: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The settings `model` of one family as far as the family `name` reads them too; unknown ones stay."""
    if name not in FAMILIES:
        raise UsageError(f"there is no model {shorten(repr(name))}; the models are {family_names()}")
    known = {key for family in FAMILIES.values() for key in family.model_fields}
    own = FAMILIES[name].model_fields
    kept = {key: value for key, value in model.items() if key in own or key not in known}
    return {**FAMILIES[name]().model_dump(), **kept, "name": name}


def _carried_over(model: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The settings `model` of one family as far as they mean the same to the family `name`, whose defaults fill up."""
    tree = _of_family(model, name)
    if name == model["name"]:
        return tree
    family, defaults = FAMILIES[name], FAMILIES[name]().model_dump()
    usual = FAMILIES[model["name"]]().model_dump()
    # Which kind of prior or posterior is usual belongs to the family; whoever chose another one keeps it.
    usual_kinds = {key for key, value in tree.items() if isinstance(value, str) and value == usual.get(key)}
    kept = {key: value for key, value in tree.items() if key not in usual_kinds and _takes(family, key, value)}
    if "decoder" in usual and "decoder" in kept and kept["decoder"]["kind"] == usual["decoder"]["kind"]:
        kept["decoder"] |= {"kind": defaults["decoder"]["kind"]}
    return defaults | kept


def _takes(family: type[ModelSettings], key: str, value: object) -> bool:
    try:
        family.model_validate({key: value})
    except ValidationError:
        return False
    return True


def _refuse_unread(config: Config, paths: Iterable[str]) -> None:
    fields = {path: field for path, field, _ in _fields(config)}
    for path in paths:
        only = _only(fields[path])
        if only is not None and not only.holds(config):
            raise UsageError(f"setting {path} is read only with {only.text}; leave it out, or change that")


def _only(field: FieldInfo) -> Only | None:
    extra = field.json_schema_extra
    return extra["only"] if isinstance(extra, dict) else None  # type: ignore[return-value]


def _fields(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, FieldInfo, object]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field, value


def shorten(text: str) -> str:
    """Return `text` as a message may quote it: not more than a line of it."""
    return text if len(text) <= QUOTED else f"{text[:QUOTED]} ..."


def _place(location: Iterable[int | str], tree: object) -> str:
    """Path of a setting, without what pydantic adds to it about alternatives and positions."""
    path: list[str] = []
    for part in location:
        if isinstance(tree, Mapping) and part in tree:
            path.append(str(part))
            tree = tree[part]
    return ".".join(path)


def _assign(tree: dict[str, Any], path: str, text: str) -> None:
    *sections, key = path.split(".")
    node: Any = tree
    for section in sections:
        node = node.get(section) if isinstance(node, dict) else None
    if not isinstance(node, dict) or key not in node or isinstance(node[key], dict):
        raise UsageError(_unknown(tree, path))
    node[key] = text if isinstance(node[key], str) else _parse(text)  # a folder may be called 2024


def _unknown(tree: Mapping[str, Any], path: str) -> str:
    """Say that there is no setting `path`, and which there are."""
    section, _, key = path.partition(".")
    readers = [
        name for name, family in FAMILIES.items() if section == "model" and key.split(".")[0] in family.model_fields
    ]
    known = list(_paths(tree))
    if readers and tree["model"]["name"] not in readers:
        return f"the model {tree['model']['name']} does not read {path}, which is for {', '.join(readers)}"
    close = difflib.get_close_matches(path, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else f"; settings are {', '.join(known)}"
    return f"there is no setting {path!r}{hint}"


def _paths(tree: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
