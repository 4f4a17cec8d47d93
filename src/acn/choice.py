"""Which settings a command trains with: those of a file, of a recipe, or of the recipe that suits the images."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acn.config import Config, DataSettings
from acn.errors import UsageError
from acn.parsing import override, read_config
from acn.pretrained import located
from acn.recipes import default_recipe
from acn.recipes import recipe as by_name

if TYPE_CHECKING:
    from acn.settings import ImageShape


@dataclass(frozen=True)
class Options:
    """What the user said: `recipe` or `file` for the settings, and what changes them.

    `start` is the model whose weights are to be trained further: its settings are taken where none are named, but for
    the precision, which suits the machine, and the warm-up of the KL, which its codes do not need.
    """

    source: str | None
    recipe: str | None = None
    file: Path | None = None
    family: str | None = None
    changes: tuple[str, ...] = ()
    max_minutes: float | None = None
    start: Path | None = None

    def data(self) -> DataSettings:
        """Settings of the images, before they are known.

        Raises:
            UsageError: a setting is wrong, whatever the images are.
        """
        if self.recipe is not None or self._file is not None or self.source in (None, "digits"):
            return self.config().data
        try:
            return self._changed(by_name("images")).data
        except UsageError as error:
            try:
                return self._changed(by_name("photos")).data
            except UsageError:
                raise error from None

    def name(self, shape: "ImageShape | None" = None) -> str:
        """Name of the recipe for images of a `shape`, which only some sources need."""
        if self.recipe is not None:
            return self.recipe
        return "digits" if shape is None else default_recipe(self.source, shape, self.family)

    def config(self, shape: "ImageShape | None" = None) -> Config:
        """All settings, for images of a `shape`.

        Raises:
            UsageError: a setting is wrong, or two options name settings.
        """
        if self.recipe is not None and self.file is not None:
            raise UsageError("--recipe and --config both name settings; give one of them")
        return self._changed(read_config(self._file) if self._file is not None else by_name(self.name(shape)))

    @property
    def _file(self) -> Path | None:
        if self.start is None or self.recipe is not None or self.file is not None:
            return self.file
        return located(self.start) / "config.json"

    def _changed(self, config: Config) -> Config:
        if self.start is not None:
            training = config.training.model_copy(update={"kl_warmup": 0.0, "precision": "auto"})
            config = config.model_copy(update={"training": training})
        given = [f"data.source={self.source}"] if self.source is not None else []
        named = [f"model.name={self.family}"] if self.family is not None else []
        limit = [f"training.max_minutes={self.max_minutes}"] if self.max_minutes is not None else []
        return override(config, [*given, *named, *self.changes, *limit])
