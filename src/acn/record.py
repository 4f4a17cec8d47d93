"""The record of an evaluation: the figures of a run, of which images, by which settings, code and machine.

`evaluation.json` in a run folder holds it (`acn.runs` writes and reads it). The figures stand at its top level, except
that accuracies are in `linear_probe`; what each of them means is in `acn.evaluation.figures`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acn.provenance import FACTS

Values = Mapping[str, float]
# What stands at the top level beside the figures, and what readers need of some of it.
SECTIONS: dict[str, type | tuple[type, ...]] = {
    "data": dict,
    "n_train": int,
    "n_test": int,
    "bits_per_dimension": dict,
    "linear_probe": dict,
    "training": dict,
    "parameters": int,
    "config": dict,
    "seconds": (int, float),
    "seed": int,
}
ENTRIES = {"data": ("source", "fingerprint"), "training": ("steps", "images_seen", "seconds")}
ALWAYS = ("reconstruction", "list")  # figures that every model has
IMPORTANCE = ("samples", "images", "negative_elbo")


@dataclass(frozen=True)
class Refined:
    """What refined posteriors cost (see `acn.evaluation.refining`).

    `steps`: of each image. `prior`: the name of the unconditional prior under which they were taken. `moved`: how far
    the codes went, on average. `values`: costs by key, as those of an `Evaluation`.
    """

    steps: int
    prior: str
    moved: float
    values: Values

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"steps": self.steps, "prior": self.prior, "moved": self.moved, **self.values}

    @classmethod
    def from_json(cls, tree: object) -> "Refined":
        """Return what `to_json` turned into `tree`.

        Raises:
            ValueError: something lacks, or is of another kind.
        """
        if not isinstance(tree, dict):
            raise ValueError(f"refined is {tree!r:.40}")
        facts = {key: _entry(tree, key, " in refined") for key in ("steps", "prior", "moved")}
        values = _numbers({key: value for key, value in tree.items() if key not in facts})
        for key in ALWAYS:
            _entry(values, key, " in refined")
        if not (isinstance(facts["steps"], int) and isinstance(facts["moved"], int | float)):
            raise ValueError(f"steps and moved in refined are {facts['steps']!r:.40} and {facts['moved']!r:.40}")
        return cls(facts["steps"], str(facts["prior"]), float(facts["moved"]), values)


@dataclass(frozen=True)
class Evaluation:
    """What was found on the test split of a run.

    A figure that needs something that the model or the images lack is absent.

    `data`: describes the images (see `acn.data`). `n_train`, `n_test`: how many there are in these splits.
    `values`: figures by key, costs in nats per image; `KEY_standard_error` is the standard error of KEY.
    `bits`: the costs in bits per dimension. `probes`: accuracy in percent of a linear classifier, by its features.
    `prior`: the unconditional prior that the run chose, that of `list`; `mixture`: components and covariance of the
    fitted one. Both are None for a model without codes.
    `importance`: of the figure `nll`, where it was sampled: codes drawn for each image, number of images, and the
    negative ELBO of the same draws in nats per image.
    `refined`: what refined posteriors cost, where that was asked for.
    `training`: steps, images seen, seconds and commit; None where nobody knows, as of a published model.
    `parameters`: how many weights the model has. `config`: all settings. `seconds`: how long the evaluation took.
    `made`: see `acn.provenance`.
    """

    data: dict[str, Any]
    n_train: int
    n_test: int
    values: Values
    bits: Values
    probes: Values
    prior: str | None
    mixture: dict[str, Any] | None
    importance: dict[str, Any] | None
    training: dict[str, Any]
    parameters: int
    config: dict[str, Any]
    seconds: float
    seed: int
    made: dict[str, Any]
    refined: Refined | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON can hold it. The palette, often 256 numbers, comes last among the `data`."""
        palette = {"palette": self.data["palette"]} if "palette" in self.data else {}
        return {
            "data": {key: value for key, value in self.data.items() if key not in palette} | palette,
            "n_train": self.n_train,
            "n_test": self.n_test,
            **self.values,
            **({} if self.prior is None else {"prior": self.prior}),
            **({} if self.mixture is None else {"mixture": self.mixture}),
            **({} if self.importance is None else {"importance": self.importance}),
            **({} if self.refined is None else {"refined": self.refined.to_json()}),
            "bits_per_dimension": dict(self.bits),
            "linear_probe": dict(self.probes),
            "training": self.training,
            "parameters": self.parameters,
            "config": self.config,
            "seconds": self.seconds,
            "seed": self.seed,
            **self.made,
        }

    @classmethod
    def from_json(cls, tree: object) -> "Evaluation":
        """Return the record that `to_json` turned into `tree`, in which null stands for an absent figure, too.

        Raises:
            ValueError: something lacks, or is of another kind; the message goes on where the file is named.
        """
        if not isinstance(tree, dict):
            raise ValueError(f"it holds {type(tree).__name__}, not figures by name")
        for key, kind in SECTIONS.items():
            if not isinstance(_entry(tree, key), kind):
                raise ValueError(f"{key} is {tree[key]!r:.40}")
            for entry in ENTRIES.get(key, ()):
                _entry(tree[key], entry, f" in {key}")
        values = _numbers({key: value for key, value in tree.items() if key not in (*SECTIONS, *FACTS)})
        for key in ALWAYS:
            _entry(values, key)
        importance = tree.get("importance")
        if importance is not None:
            _check_importance(importance, values)
        return cls(
            values=values,
            bits=_numbers(tree["bits_per_dimension"]),
            probes=_numbers(tree["linear_probe"]),
            prior=tree.get("prior"),
            mixture=tree.get("mixture"),
            importance=importance,
            refined=None if tree.get("refined") is None else Refined.from_json(tree["refined"]),
            made={key: tree[key] for key in FACTS if key in tree},
            **{key: tree[key] for key in SECTIONS if key not in ("bits_per_dimension", "linear_probe")},
        )


def _entry(tree: Mapping[str, Any], key: str, where: str = "") -> object:
    if key not in tree:
        raise ValueError(f"it lacks {key}{where}")
    return tree[key]


def _check_importance(importance: object, values: Values) -> None:
    if not isinstance(importance, dict):
        raise ValueError(f"importance is {importance!r:.40}")
    for key in IMPORTANCE:
        if not isinstance(_entry(importance, key, " in importance"), int | float):
            raise ValueError(f"{key} in importance is {importance[key]!r:.40}")
    _entry(values, "nll")


def _numbers(tree: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in tree.items() if isinstance(value, int | float)}
