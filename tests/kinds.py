"""Image files of many kinds as bytes, each with the samples that are in it, made without the code that reads them."""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

HEIGHT, WIDTH = 6, 5
Samples = NDArray[Any]
PNG_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


@dataclass(frozen=True)
class Kind:
    """A file `name` of `data`, and its frames, each `[H, W, 1 to 4]`, uint8 or uint16; alpha is last of 2 or 4."""

    name: str
    data: bytes
    frames: tuple[Samples, ...]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples: Samples, *before: bytes, depth: int | None = None, colour: int | None = None) -> bytes:
    """A PNG file of samples `[H, W, c]` without filters; `before` are chunks that stand before the pixels."""
    height, width, channels = samples.shape
    depth = depth or samples.dtype.itemsize * 8
    kind = PNG_TYPES[channels] if colour is None else colour
    rows = samples.astype(f">u{samples.dtype.itemsize}").reshape(height, -1)
    if depth < 8:
        bits = np.unpackbits(rows.astype(np.uint8)[..., None], axis=-1)[..., -depth:]
        packed = [np.packbits(row).tobytes() for row in bits.reshape(height, -1)]
    else:
        packed = [row.tobytes() for row in rows]
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in packed))
    parts = [chunk(b"IHDR", header), *before, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def apng(frames: Sequence[Samples], delays: Sequence[int], *, still: bool = False) -> bytes:
    """An animated PNG whose frames all have full size; `still`: its first frame is not one of the animation."""
    height, width = frames[0].shape[:2]
    shown = len(frames) - still
    parts = [chunk(b"acTL", struct.pack(">II", shown, 2))]
    number = 0
    for place, (frame, delay) in enumerate(zip(frames, delays, strict=True)):
        if place or not still:
            parts.append(chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, 0, 0, delay, 1000, 0, 0)))
            number += 1
        pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in frame))
        parts.append(chunk(b"fdAT", struct.pack(">I", number) + pixels) if place else chunk(b"IDAT", pixels))
        number += place > 0
    data = png(frames[0])
    start, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    return data[:start] + b"".join(parts) + data[end:]


def tiff(pages: Sequence[Samples], *, order: str = "<", turned: int = 1) -> bytes:
    """A TIFF file without compression."""
    data = bytearray((b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 0))
    link = 4
    for page in pages:
        height, width, channels = page.shape
        pixels = page.astype(f"{order}u{page.dtype.itemsize}").tobytes()
        start, bits = len(data), page.dtype.itemsize * 8
        data += pixels + bytes(-len(pixels) % 2)
        depths = len(data)
        data += struct.pack(f"{order}{channels}H", *[bits] * channels) + bytes(-2 * channels % 4)
        entries: list[tuple[int, int, int, int]] = [(256, 4, 1, width), (257, 4, 1, height)]
        entries.append((258, 3, channels, depths) if channels > 2 else (258, 3, 1, bits))
        entries += [(259, 3, 1, 1), (262, 3, 1, 2 if channels > 2 else 1), (273, 4, 1, start)]
        entries += [(274, 3, 1, turned)] if turned != 1 else []
        entries += [(277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(pixels))]
        if channels == 4:
            entries.append((338, 3, 1, 2))
        struct.pack_into(f"{order}I", data, link, len(data))
        data += struct.pack(f"{order}H", len(entries))
        for tag, kind, count, value in entries:
            short = kind == 3 and count == 1
            data += struct.pack(f"{order}HHI", tag, kind, count)
            data += struct.pack(f"{order}HH", value, 0) if short else struct.pack(f"{order}I", value)
        link = len(data)
        data += bytes(4)
    return bytes(data)


def saved(samples: Samples, form: str, **options: Any) -> bytes:  # noqa: ANN401
    """A file as Pillow writes it."""
    stream = io.BytesIO()
    Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples).save(stream, form, **options)
    return stream.getvalue()


def animated(frames: Sequence[Samples], form: str, **options: Any) -> bytes:  # noqa: ANN401
    first, *others = [Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame) for frame in frames]
    stream = io.BytesIO()
    first.save(stream, form, save_all=True, append_images=others, **options)
    return stream.getvalue()


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(channels: int, seed: int = 0, *, bits: int = 8, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Samples:
    kind = np.uint8 if bits <= 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**bits, (*size, channels)).astype(kind)


def grey_palette(clear: bool) -> tuple[bytes, Samples]:
    """A palette PNG whose palette holds greys alone, with transparency or without."""
    numbers, greys = noise(1, 5, bits=2), np.array([7, 200, 90, 255], np.uint8)
    alphas = np.array([0, 128, 255, 255], np.uint8)
    table = chunk(b"PLTE", bytes(np.repeat(greys, 3)))
    chunks = (table, chunk(b"tRNS", alphas[:2].tobytes())) if clear else (table,)
    found = greys[numbers]
    return png(numbers, *chunks, colour=3), np.concatenate([found, alphas[numbers]], 2) if clear else found


def colour_palette(clear: bool) -> tuple[bytes, Samples]:
    numbers, colours = noise(1, 6, bits=2), noise(3, 7, size=(1, 4))[0]
    alphas = np.array([9, 255, 255, 255], np.uint8)
    table = chunk(b"PLTE", colours.tobytes())
    chunks = (table, chunk(b"tRNS", alphas[:1].tobytes())) if clear else (table,)
    found = colours[numbers[..., 0]]
    return png(numbers, *chunks, colour=3), np.concatenate([found, alphas[numbers]], 2) if clear else found


def keyed(samples: Samples, depth: int, scale: int = 1) -> tuple[bytes, Samples]:
    """A PNG in which the sample of the first pixel counts as transparent."""
    key = samples[0, 0]
    data = png(samples, chunk(b"tRNS", key.astype(">u2").tobytes()), depth=depth)
    alpha = np.where((samples == key).all(2), 0, 2 ** (8 * samples.dtype.itemsize) - 1)[..., None]
    return data, np.concatenate([samples * scale, alpha.astype(samples.dtype)], 2)


def one(name: str, data: bytes, samples: Samples) -> Kind:
    return Kind(name, data, (samples,))


def kinds() -> Iterator[Kind]:
    """Files that an archive must give back to the bit."""
    grey, colour, both, greyed = noise(1), noise(3), noise(4), noise(2)
    for name, samples in (("l", grey), ("la", greyed), ("rgb", colour), ("rgba", both)):
        yield one(f"png {name}.png", png(samples), samples)
        deep = noise(samples.shape[2], 1, bits=16)
        yield one(f"png {name} 16.png", png(deep), deep)
    for bits in (1, 2, 4):
        few = noise(1, bits, bits=bits)
        yield one(f"png {bits} bits.PNG", png(few, depth=bits), few * (255 // (2**bits - 1)))
        yield one(f"png {bits} bits key.png", *keyed(few, bits, 255 // (2**bits - 1)))
    yield one("png key.png", *keyed(grey, 8))
    yield one("png colour key.png", *keyed(colour, 8))
    yield one("png 16 key.png", *keyed(noise(1, 8, bits=16), 16))
    yield one("png 16 colour key.png", *keyed(noise(3, 9, bits=16), 16))
    for clear in (False, True):
        yield one(f"grey palette {clear}.png", *grey_palette(clear))
        yield one(f"colour palette {clear}.png", *colour_palette(clear))
    for order in "<>":
        for samples in (grey, colour, both):
            yield one(f"tiff {samples.shape[2]} {ord(order)}.tif", tiff([samples], order=order), samples)
            deep = noise(samples.shape[2], 2, bits=16)
            yield one(f"tiff {samples.shape[2]} {ord(order)} 16.tiff", tiff([deep], order=order), deep)
    pages = tuple(noise(1, 20 + number) for number in range(3))
    yield Kind("pages.tif", tiff(pages), pages)
    pages = (noise(3, 30), noise(1, 31, bits=16), noise(4, 32), noise(1, 33))
    yield Kind("mixed pages.TIF", tiff(pages), pages)
    yield one(
        "deflated 16.tif", saved(noise(1, 40, bits=16), "TIFF", compression="tiff_adobe_deflate"), noise(1, 40, bits=16)
    )
    frames = tuple(noise(1, 50 + number, bits=7) for number in range(3))
    yield Kind("moving grey.gif", animated(frames, "GIF", duration=[40, 50, 60], loop=3), frames)
    frames = (frames[0], frames[0], frames[1])
    yield Kind("hold.png", apng(frames, [100, 30, 20]), frames)
    frames = tuple(noise(3, 60 + number) for number in range(3))
    yield Kind("moving.png", animated(frames, "PNG", duration=[40, 50, 60], loop=0), frames)
    frames = tuple(noise(4, 70 + number) | np.uint8(1) for number in range(2))
    yield Kind("moving.webp", animated(frames, "WEBP", lossless=True, exact=True, duration=90), frames)
    yield one("still.gif", saved(grey, "GIF"), grey)
    yield one("plain.bmp", saved(grey, "BMP"), grey)
    yield one("colour.BMP", saved(colour, "BMP"), colour)
    yield one("colour.webp", saved(colour, "WEBP", lossless=True), colour)
    yield one("clear.webp", saved(both, "WEBP", lossless=True, exact=True), both)
    yield one("grey.pgm", b"P5\n5 6\n255\n" + grey.tobytes(), grey)
    yield one("colour.ppm", b"P6\n5 6\n255\n" + colour.tobytes(), colour)
    deep, deeper = noise(1, 80, bits=16), noise(3, 81, bits=16)
    yield one("grey 16.pgm", b"P5\n5 6\n65535\n" + deep.astype(">u2").tobytes(), deep)
    yield one("colour 16.ppm", b"P6 5 6 65535\n" + deeper.astype(">u2").tobytes(), deeper)
    yield one("bits.pbm", b"P4\n8 1\n\xa5", 255 - np.array([1, 0, 1, 0, 0, 1, 0, 1], np.uint8)[None, :, None] * 255)
    yield one("words.pgm", b"P2\n2 1\n255\n7 250\n", np.array([[[7], [250]]], np.uint8))
    yield one("colour.tga", saved(colour, "TGA"), colour)
    yield one("clear.tga", saved(both, "TGA"), both)
    yield one("colour.pcx", saved(colour, "PCX"), colour)
    for value in range(1, 9):
        yield one(f"turned {value}.png", saved(colour, "PNG", exif=orientation(value)), colour)
        yield one(f"turned {value}.tif", tiff([deeper], turned=value), deeper)
    yield one("profile.png", saved(colour, "PNG", icc_profile=profile(), dpi=(300, 150)), colour)
    photo = saved(colour, "JPEG", quality=60, exif=orientation(6), icc_profile=profile(), dpi=(72, 72))
    with Image.open(io.BytesIO(photo)) as picture:
        yield one("photo.JPG", photo, np.asarray(picture))


def refused() -> Iterator[tuple[str, bytes, str]]:
    """Files that an archive must refuse, and words of the sentence that says why."""
    four = Image.fromarray(noise(4), "RGBA")

    def made(mode: str, form: str) -> bytes:
        stream = io.BytesIO()
        Image.frombytes(
            mode, (WIDTH, HEIGHT), bytes(HEIGHT * WIDTH * {"CMYK": 4, "LAB": 3, "F": 4, "I": 4}[mode])
        ).save(stream, form)
        return stream.getvalue()

    yield "print.jpg", made("CMYK", "JPEG"), "its pixels are CMYK"
    yield "print.tif", made("CMYK", "TIFF"), "its pixels are CMYK"
    yield "lab.tif", made("LAB", "TIFF"), "its pixels are LAB"
    yield "float.tif", made("F", "TIFF"), "neither of 8 nor of 16 bits"
    yield "long.tif", made("I", "TIFF"), "neither of 8 nor of 16 bits"
    yield "ten bits.pgm", b"P5\n2 1\n1023\n\0\1\3\xff", "its largest value is 1023"
    yield "words 16.ppm", b"P3\n1 1\n65535\n1 2 3\n", "written as text"
    stream = io.BytesIO()
    four.save(stream, "ICO", sizes=[(WIDTH, HEIGHT)])
    yield "icon.ico", stream.getvalue(), "its format is ICO"
    yield (
        "beside.png",
        apng([noise(1, number) for number in range(3)], [9, 9, 9], still=True),
        "a still image beside it",
    )
    yield "deep pages.tif", tiff([noise(3), noise(3, bits=16)]), "it has several pages and colours of 16 bits"
    yield "text.png", b"This is text.", "cannot be decoded"
    yield "cut.png", png(noise(3))[:60], "cannot be decoded"
