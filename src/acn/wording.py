"""Numbers and complaints in sentences."""

import re
from collections.abc import Iterable


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 image`, `2,000 images`; `plural` where it is not the noun and an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(items: Iterable[str], most: int) -> str:
    """The items between commas; of more than `most` the first ones, and how many others there are."""
    texts = list(items)
    left = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {counted(left, 'other')}" if left > 0 else "")


def complaint(message: str) -> str:
    """What pydantic says of a value, in the words of all other errors: `expected a value less than 1`."""
    text = message.removeprefix("Value error, ")
    if "dictionary" in text:
        return "expected names with values"
    return re.sub("^Input should be (?=greater|less)", "expected a value ", text).replace("Input should be", "expected")
