"""How many images of a block are coded side by side, batch after batch."""

FIRST_BATCH = 8
LARGEST_BATCH = 4096


def batch_sizes(count: int, largest: int, *, gently: bool = False) -> list[int]:
    """Sizes of the batches of `count` images in the order of decoding: `largest` first, the last ones smaller.

    From the end they double from 8 on, so that each batch pops no more than those encoded before it have pushed. Where
    codes have many numbers, an image pushes a quarter of what its code pops, and they grow `gently`, by 8 and a quarter
    of the images encoded before.
    """
    sizes: list[int] = []
    size, done = FIRST_BATCH, 0
    while done < count:
        sizes.append(min(size, largest, count - done))
        done += sizes[-1]
        size = FIRST_BATCH + done // 4 if gently else 2 * size
    return sorted(sizes, reverse=True)
