"""The page in a real browser, with the keyboard, the mouse and files of a user."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from acn.data import Collection
from acn.runs import Run
from tests.web.chromium import chromium, find_chromium
from tests.web.test_serving import command
from tests.web.test_uploads import encoded, noise

SLOW = 30_000  # milliseconds that a drawing may take on a busy machine

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="no Chromium on the PATH, and ACN_CHROMIUM does not name one"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(str(find_chromium())) as browser:
        yield browser


@pytest.fixture(scope="module")
def url(digits_run: tuple[Run, Collection], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with command(str(digits_run[0].path), "--port", "0", cwd=tmp_path_factory.mktemp("served")) as process:
        assert process.stdout
        yield process.stdout.readline().strip()


@contextmanager
def opened(browser: Browser, url: str, *, size: tuple[int, int] = (1100, 750), scheme: str = "light") -> Iterator[Page]:
    """Open a page and wait for its points; no error and no request to elsewhere is forgiven."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)  # type: ignore[arg-type]
    page.set_default_timeout(SLOW)
    wrong: list[str] = []
    origin = url.partition("#")[0]

    def note_console(message: object) -> None:
        # A refused upload is a status that the browser itself writes on the console, whatever the page does with it.
        if getattr(message, "type", "") in ("error", "warning") and "Failed to load resource" not in str(message):
            wrong.append(str(message))

    page.on("console", note_console)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith((origin, "data:")) else wrong.append(request.url))
    page.goto(url)
    page.wait_for_selector("html[data-drawn=yes]")
    yield page
    assert not wrong
    page.close()


def settle(page: Page) -> None:
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def canvas(page: Page) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Red, green, blue and opacity of the map's pixels `[H, W, 4]`; where there is no point, it is transparent."""
    settle(page)
    url = page.evaluate("document.querySelector('canvas').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA"))


def on_a_point(page: Page) -> tuple[float, float]:
    """Move the mouse until it is over a point, and return where that is."""
    box = page.locator("#canvas").bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    for step in range(0, int(box["width"] / 2), 3):
        page.mouse.move(box["x"] + box["width"] / 3 + step, middle)
        settle(page)
        if page.locator("#hover").is_visible():
            return box["x"] + box["width"] / 3 + step, middle
    raise AssertionError("there is no point in the middle of the map")


def drop(page: Page, data: bytes, name: str, kind: str, *, repeats: int = 1) -> None:
    """Drop a file on the page, whose content is `data` `repeats` times."""
    page.evaluate(
        """([text, repeats, name, type]) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File(Array(repeats).fill(bytes), name, { type }));
            for (const event of ["dragenter", "dragover", "drop"])
                document.body.dispatchEvent(new DragEvent(event, { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        [base64.b64encode(data).decode(), repeats, name, kind],
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_points_are_drawn_in_the_colours_of_their_labels(browser: Browser, url: str, scheme: str) -> None:
    with opened(browser, url, scheme=scheme) as page:
        pixels = canvas(page).reshape(-1, 4)
        drawn = pixels[pixels[:, 3] > 128, :3]
        assert 1000 < len(drawn) < len(pixels) / 2
        assert set(drawn.argmax(1).tolist()) == {0, 1, 2}  # some points are red, some green, some blue
        paper = page.evaluate("getComputedStyle(document.querySelector('#map')).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        expect(page.locator("#legend button")).to_have_count(10)
        expect(page.locator("#about")).to_contain_text("1,437 images of digits, train split")


def test_hovering_shows_the_image(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        on_a_point(page)
        image = page.locator("#hover img")
        page.wait_for_function("document.querySelector('#hover img').naturalWidth === 8")
        assert image.get_attribute("src") is not None
        expect(page.locator("#hover span")).to_contain_text("Image ")
        page.mouse.move(5, 5)
        expect(page.locator("#hover")).to_be_hidden()


def test_a_click_fills_the_panel_and_a_daydream_plays(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        page.mouse.click(*on_a_point(page))
        expect(page.locator("#by_code img")).to_have_count(12)
        expect(page.locator("#by_pixels img")).to_have_count(12)
        expect(page.locator("#reconstructions img")).to_have_count(6)
        expect(page.locator("#code span")).to_have_count(3)
        expect(page.locator("#overlay .near")).to_have_count(12)
        seed = page.locator("#reconstruct_seed").text_content()
        page.click("#reconstruct")
        expect(page.locator("#reconstruct_seed")).not_to_have_text(str(seed))
        expect(page.locator("#reconstructions img")).to_have_count(6)
        page.click("#dream")
        expect(page.locator("#dream")).to_have_text("Stop")
        expect(page.locator("#frames img")).to_have_count(30)
        expect(page.locator("#dream")).to_have_text("Start")
        expect(page.locator("#overlay polyline")).to_have_count(1)
        first = page.locator("#stage").get_attribute("src")
        page.wait_for_function("(first) => document.querySelector('#stage').src !== first", arg=first)


def test_what_is_marked_lies_on_the_points(browser: Browser, url: str) -> None:
    """The overlay computes places by itself; the map component must agree, zoomed and panned too."""
    with opened(browser, url) as page:
        for _ in range(2):
            place = on_a_point(page)
            number = str(page.locator("#hover span").text_content()).split()[1]
            at = page.evaluate(
                "(({ left, top }) => [left, top].map(parseFloat))(document.querySelector('#hover').style)"
            )
            page.mouse.click(*place)
            page.wait_for_function("(number) => location.hash.includes(`item=${number}&`)", arg=number)
            ring = page.locator("#overlay .here").bounding_box()
            frame = page.locator("#map").bounding_box()
            assert ring
            assert frame
            assert ring["x"] + ring["width"] / 2 == pytest.approx(frame["x"] + at[0], abs=0.5)
            assert ring["y"] + ring["height"] / 2 == pytest.approx(frame["y"] + at[1], abs=0.5)
            page.mouse.wheel(0, -300)
            page.mouse.down()
            page.mouse.move(place[0] + 40, place[1] + 25)
            page.mouse.up()
            settle(page)


def test_a_neighbour_can_be_gone_to(browser: Browser, url: str) -> None:
    with opened(browser, f"{url}#item=7") as page:
        expect(page.locator("#name")).to_contain_text("Image 7 ")
        button = page.locator("#by_code button").first
        words = str(button.get_attribute("title"))
        button.click()
        expect(page.locator("#name")).to_have_text(words.partition(",")[0])
        page.keyboard.press("Escape")
        expect(page.locator("#empty")).to_be_visible()


def test_everything_can_be_reached_by_keys(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        page.focus("#sought")
        page.keyboard.type("40")
        page.keyboard.press("Enter")
        expect(page.locator("#name")).to_contain_text("Image 40 ")
        page.focus("#canvas")
        page.keyboard.press("n")
        expect(page.locator("#name")).to_contain_text("Image 41 ")
        before = canvas(page)
        for key in ("+", "ArrowLeft", "ArrowUp"):
            page.keyboard.press(key)
        settle(page)
        assert not np.array_equal(before, canvas(page))
        page.focus("#by_code button")
        page.keyboard.press("Enter")
        expect(page.locator("#name")).not_to_contain_text("Image 41 ")
        assert page.evaluate("[...document.images].every((image) => image.hasAttribute('alt'))")


def test_an_image_of_ones_own_lands(browser: Browser, url: str, tmp_path: Path) -> None:
    with opened(browser, url) as page:
        drop(page, encoded(noise(40, 30)), "mine.png", "image/png")
        expect(page.locator("#name")).to_have_text("Your image")
        expect(page.locator("#done")).to_contain_text("fitted from 30 × 40 to 8 × 8 pixels")
        expect(page.locator("#by_code img")).to_have_count(12)
        expect(page.locator("#reconstructions img")).to_have_count(6)
        expect(page.locator("#overlay .here")).to_have_count(1)
        expect(page.locator("#drop")).to_be_hidden()
        page.click("#invert")
        expect(page.locator("#done")).to_contain_text("dark and light exchanged")
        (tmp_path / "picked.png").write_bytes(encoded(noise(8, 8)))
        page.set_input_files("#file", tmp_path / "picked.png")
        expect(page.locator("#done")).not_to_contain_text("fitted")
        page.reload()
        expect(page.locator("#name")).to_have_text("Your image")


def test_a_bad_file_is_refused_in_a_sentence_and_nothing_breaks(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        drop(page, b"hello", "letter.txt", "text/plain")
        expect(page.locator("#notice")).to_contain_text("this is not an image")
        drop(page, b"hello", "large.png", "image/png", repeats=4 << 20)
        expect(page.locator("#notice")).to_contain_text("16 MiB")
        drop(page, encoded(noise(8, 8)), "mine.png", "image/png")
        expect(page.locator("#name")).to_have_text("Your image")


def test_a_reload_finds_everything_again(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        page.select_option("#y", "2")
        page.select_option("#colour", "clusters")
        expect(page.locator("#legend")).to_contain_text("cluster 1")
        page.fill("#sought", "12")
        page.keyboard.press("Enter")
        expect(page.locator("#name")).to_contain_text("Image 12 ")
        page.reload()
        page.wait_for_selector("html[data-drawn=yes]")
        expect(page.locator("#name")).to_contain_text("Image 12 ")
        assert [page.input_value(name) for name in ("#x", "#y", "#colour")] == ["0", "2", "clusters"]


def test_a_group_is_shown_alone(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:

        def drawn() -> int:
            return int((canvas(page)[..., 3] > 128).sum())

        whole = drawn()
        page.click("#legend button >> nth=3")
        expect(page.locator("#legend button >> nth=3")).to_have_attribute("aria-pressed", "true")
        assert 0 < drawn() < whole / 3
        page.click("#legend button >> nth=3")
        settle(page)
        assert drawn() == whole


def test_a_lasso_selects_images_and_saves_them(browser: Browser, url: str) -> None:
    """By Shift, or by the button."""
    with opened(browser, url) as page:

        def drawn() -> int:
            return int((canvas(page)[..., 3] > 128).sum())

        box = page.locator("#map").bounding_box()
        assert box
        whole, (x, y) = drawn(), (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        for by_key in (True, False):
            if by_key:
                page.keyboard.down("Shift")
            else:
                page.click("#lasso")
            page.mouse.move(x - 120, y - 120)
            page.mouse.down()
            for at in ((120, -120), (120, 120), (-120, 120), (-120, -120)):
                page.mouse.move(x + at[0], y + at[1], steps=12)
                page.wait_for_timeout(40)
            page.mouse.up()
            page.keyboard.up("Shift")
            expect(page.locator("#chosen")).to_contain_text("in the lasso")
            expect(page.locator("#lasso")).to_have_attribute("aria-pressed", "false")
            assert 0 < drawn() < whole
            with page.expect_download() as download:
                page.click("#save")
            assert download.value.suggested_filename == "digits.csv"
            table = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
            assert table[0] == "index,split,label"
            assert f"{len(table) - 1:,} images" in str(page.locator("#chosen span").text_content())
            assert 10 < len(table) < 1437
            page.click("#clear")
            expect(page.locator("#chosen")).to_be_hidden()
            assert drawn() == whole


def test_what_is_not_found_is_said(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        page.fill("#sought", "cat")
        page.keyboard.press("Enter")
        expect(page.locator("#notice")).to_contain_text("there is no image cat; there are 0 to 1436")


def test_two_pages_at_once(browser: Browser, url: str) -> None:
    with opened(browser, f"{url}#item=3") as first, opened(browser, f"{url}#item=4") as second:
        for page in (first, second):
            page.click("#dream")
        for page in (first, second):
            expect(page.locator("#frames img").nth(4)).to_be_visible()
        first.close()
        expect(second.locator("#frames img")).to_have_count(30)


def test_a_narrow_window(browser: Browser, url: str) -> None:
    with opened(browser, f"{url}#item=3", size=(390, 800)) as page:
        expect(page.locator("#by_code img")).to_have_count(12)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert canvas(page)[:, [0, -1], 3].max() == 0  # no point is cut off on the sides
