"""Numbers and complaints in sentences."""

import difflib
import re
import shlex
from collections.abc import Iterable

MOST_SUGGESTED = 3


def counted(count: float, noun: str, plural: str | None = None) -> str:
    """`1 image`, `2,000 images`, `0.5 minutes`; `plural` where it is not the noun and an s."""
    number = f"{count:g}" if isinstance(count, float) else f"{count:,}"
    return f"{number} {noun if count == 1 else plural or noun + 's'}"


def extent(height: int, width: int) -> str:
    """`48x64`: height before width, as `--size` has them."""
    return f"{height}x{width}"


def command(*words: object) -> str:
    """`acn evaluate 'runs/my photos'`: what to type, as a shell takes it."""
    return shlex.join(["acn", *map(str, words)])


def listed(items: Iterable[str], most: int) -> str:
    """The items between commas; of more than `most` the first ones, and how many others there are."""
    texts = list(items)
    left = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {counted(left, 'other')}" if left > 0 else "")


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """`there is no recipe 'digts'; did you mean digits?`; where no name is near, all that are `known`."""
    names, given = list(known), str(name)
    close = [each for each in names if given and given.casefold() in each][:MOST_SUGGESTED]
    close = close or difflib.get_close_matches(given, names, MOST_SUGGESTED)
    advice = f"did you mean {' or '.join(close)}?" if close else f"choose one of {', '.join(names)}"
    return f"there is no {kind} {name!r}; {advice}"


def complaint(message: str) -> str:
    """What pydantic says of a value, in the words of all other errors: `expected a value less than 1`."""
    text = message.removeprefix("Value error, ")
    if "dictionary" in text:
        return "expected names with values"
    if "valid integer" in text:
        return "expected a whole number"
    if "valid tuple" in text:
        return "expected a list, such as [64, 64]"
    return re.sub("^Input should be (?=greater|less)", "expected a value ", text).replace("Input should be", "expected")
