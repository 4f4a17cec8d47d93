"""A stronger decoder than the paper's: what it buys in the same time, and with as many parameters."""

from acn.reproduction.documents import Document, Row
from acn.reproduction.material import Material, columns

COLUMNS = ("list", "list_bits", "parameters", "images", "seconds", "rate")
ROWS = {
    "gated": "gated, 32 features, 7 blocks of 5 x 5",
    "separable": "separable, 64 features, 8 blocks of 7 x 7",
    "separable-deep": "separable, 64 features, 12 blocks of 7 x 7",
}


def decoders(material: Material) -> Document:
    """Lay out decoders that were trained alone, for the same time each."""
    return Document(
        "decoders",
        f"Decoders in the same time: {material.collection.name}",
        "Likelihood under decoders without a code, each trained for the same time by the same optimizer: the gated "
        "PixelCNN of the paper's kind, and one whose blocks look around feature by feature and then mix features, "
        "once with fewer parameters and once with as many.",
        material.found,
        head="decoder",
        columns=columns(COLUMNS),
        rows=tuple(
            Row(text, material.cells(variant, COLUMNS)) for variant, text in ROWS.items() if variant in material.found
        ),
        notes=("Nats per image of the test split, and bits per dimension.",),
    )
