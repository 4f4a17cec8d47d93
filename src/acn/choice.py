"""Which settings a command trains with: those of a file, of a recipe, or of the recipe that suits the images."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

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

    `start` is the model whose weights are to be trained further. Its settings are taken where none are named, but for
    those that suited the machine and the images there, and in any case the size to which it had images fitted; and its
    codes need no warm-up of the KL.
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
        if self.recipe is not None or self.file is not None or self._takes_start or self.source in (None, "digits"):
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

    def holds_little(self, shape: "ImageShape") -> bool:
        """Whether a recipe that nobody named trains codes that hold little: that of photographs, made for archives."""
        named = self.recipe is not None or self.file is not None or self.start is not None
        return not named and self.name(shape) == "photos"

    def config(self, shape: "ImageShape | None" = None) -> Config:
        """All settings, for images of a `shape`.

        Raises:
            UsageError: a setting is wrong, or two options name settings.
        """
        if self.recipe is not None and self.file is not None:
            raise UsageError("--recipe and --config both name settings; give one of them")
        if self.file is not None:
            return self._changed(read_config(self.file))
        return self._changed(self._of_start() if self._takes_start else by_name(self.name(shape)))

    @property
    def _takes_start(self) -> bool:
        return self.start is not None and self.recipe is None and self.file is None

    def _read_start(self) -> Config:
        return read_config(located(cast(Path, self.start)) / "config.json")

    def _of_start(self) -> Config:
        """Settings of the model to start from; what was settled for its machine and images is settled anew."""
        config = self._read_start()
        return config.model_copy(
            update={
                "training": config.training.model_copy(update={"precision": "auto"}),
                "memory": config.memory.model_copy(update={"search": "auto"}),
            }
        )

    def _changed(self, config: Config) -> Config:
        if self.start is not None:
            known = self._read_start().data
            sized = {} if config.data.size else {"size": known.size, "fit": known.fit}
            training = config.training.model_copy(update={"kl_warmup": 0.0})
            data = config.data.model_copy(update=sized)
            config = config.model_copy(update={"training": training, "data": data})
        given = [f"data.source={self.source}"] if self.source is not None else []
        named = [f"model.name={self.family}"] if self.family is not None else []
        limit = [f"training.max_minutes={self.max_minutes}"] if self.max_minutes is not None else []
        return override(config, [*given, *named, *self.changes, *limit])
