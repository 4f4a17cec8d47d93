"""The header of an archive, which is JSON: what it may say, and nothing else (FORMAT.md, "Archive")."""

from typing import Annotated, Literal

from pydantic import FailFast, Field

from acn.codec.batches import LARGEST_BATCH
from acn.codec.notes import Part

BLOCK_IMAGES = 2**16
LARGEST_SPLITS = 16
NAME = r"^[^\x00-\x1f\x7f-\x9f]{1,100}$"
Name = Annotated[str, Field(pattern=NAME)]
Hexadecimal = Field(pattern="^[0-9a-f]{64}$")


class Stretch(Part):
    """Bytes of the archive: how many, and their SHA-256."""

    bytes: int = Field(ge=1)
    digest: str = Hexadecimal


class SizeFacts(Part):
    """Height and width of the images of a block, and how many rows of each it holds."""

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    rows: int = Field(ge=1)

    @property
    def pixels(self) -> int:
        """Of a piece."""
        return self.rows * self.width


class BlockFacts(Part):
    """A block: which split its images belong to, how many, bytes of its payload, and words its stack began with.

    `digest`: SHA-256 of the payload; `pixels`: of the level indices, one byte each, `[N, C, H, W]`, or, in a lossy
    archive, of the numbers of the codes, two bytes each, `[N, D]`.
    `planes`: transparency and low bytes, which follow the payload. `size`: in an archive of several sizes, whose blocks
    are one batch each; `images` counts pieces there.
    """

    split: int = Field(ge=0)
    images: int = Field(ge=1, le=BLOCK_IMAGES)  # and of BLOCK_SUBPIXELS at most, if there are several
    mode: Literal["list", "set", "tour"]
    bytes: int = Field(ge=4, multiple_of=4)
    first: int = Field(ge=1)
    digest: str = Hexadecimal
    pixels: str = Hexadecimal
    planes: Stretch | None = None
    size: SizeFacts | None = None


class ModelFacts(Part):
    """The model: its identity, and its bytes in the archive, 0 where it is not embedded.

    `dimensions`: subpixels of an image, or in an archive of several sizes of a pixel.
    """

    identity: str = Hexadecimal
    bytes: int = Field(ge=0)
    dimensions: int = Field(ge=1)


class LossyFacts(Part):
    """That an archive is lossy: `steps` between the values of each number of a code, with 12 fractional bits."""

    steps: list[int]


class Header(Part):
    """All facts about an archive; `notes_bytes` and `notes_digest` describe the compressed names and labels.

    `details`: how the images stood in their files. `lossy`: of an archive that holds codes alone.
    """

    program: Name
    batch: int = Field(ge=1, le=LARGEST_BATCH)
    splits: list[Name] = Field(max_length=LARGEST_SPLITS)
    model: ModelFacts
    notes_bytes: int = Field(ge=0)
    notes_digest: str = Hexadecimal
    details: Stretch | None = None
    lossy: LossyFacts | None = None
    blocks: Annotated[list[BlockFacts], FailFast()]
