"""What all settings have in common: frozen, complete, validated on construction, described where they are defined."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Settings(BaseModel):
    """Base of all settings: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Only:
    """When a setting is read: where the value at `path`, from the whole configuration, is `value`.

    `text` says the same to a user, after the words "read only with".
    """

    path: str
    value: object
    text: str

    def holds(self, config: object) -> bool:
        """Whether it is so in `config`. A path that leads nowhere means no."""
        found = config
        for name in self.path.split("."):
            found = getattr(found, name, None)
        return found == self.value


def setting(default: Any, text: str, *, only: Only | None = None, **bounds: Any) -> Any:  # noqa: ANN401 - as pydantic
    """Define a setting: its default, what it is, when it is read, and pydantic's bounds on its value."""
    return Field(default, description=text, json_schema_extra={"only": only} if only else None, **bounds)  # type: ignore[dict-item]


def _size(value: object) -> object:
    """Read `64` and `48x64` as (64, 64) and (48, 64); anything but text and whole numbers stays as it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if not isinstance(value, str):
        return value
    sides = value.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() and len(side) < 9 for side in sides):
        raise ValueError("expected a height, or HEIGHTxWIDTH, such as 64 or 48x64")
    return int(sides[0]), int(sides[-1])


Side = Annotated[int, Field(ge=1, le=65_535)]
# Height and width that images are given; None leaves them as they are.
Size = Annotated[tuple[Side, Side] | None, BeforeValidator(_size)]
Fit = Literal["crop", "pad", "stretch"]


class ImageShape(Settings):
    """What every image of a collection has in common; `levels` values per subpixel, coded 0 ... levels - 1."""

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    channels: Literal[1, 3]
    levels: int = Field(ge=2, le=256)

    @property
    def dimensions(self) -> int:
        """Subpixels per image."""
        return self.height * self.width * self.channels
