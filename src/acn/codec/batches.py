"""How many images of a block are coded side by side, batch after batch."""

FIRST_BATCH = 8
LARGEST_BATCH = 4096


def batch_sizes(count: int, largest: int) -> list[int]:
    """Sizes of the batches of `count` images in the order of decoding: `largest` first, the last ones smaller.

    From the end they double from 8 on, so that each batch pops no more than those encoded before it have pushed.
    """
    sizes: list[int] = []
    size = FIRST_BATCH
    while count:
        sizes.append(min(size, largest, count))
        count -= sizes[-1]
        size *= 2
    return sorted(sizes, reverse=True)
