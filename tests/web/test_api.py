"""Every address, asked as a browser asks it, and as a browser would not."""

import base64
import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from acn.data import Collection, to_values
from acn.evaluation.costs import encode
from acn.models import ACN
from acn.runs import Run
from acn.sampling.draws import Sampler
from acn.sampling.grids import to_pictures
from acn.web.atlas import Atlas
from acn.web.layout import PRIOR, early_view
from acn.web.lazy import Lazy
from acn.web.server import Api, front
from acn.web.uploads import MOST_BYTES
from tests.web.conftest import loads, make_run, opened
from tests.web.test_uploads import bomb, encoded


def client_of(run: Run, collection: Collection, early: Path | None = None) -> TestClient:
    api = Api(loads(run, collection), lambda: None)
    application = front(api, "127.0.0.1", Lazy(lambda: early_view(early)))
    return TestClient(application, base_url="http://127.0.0.1:8420")


@pytest.fixture(scope="module")
def client(digits_run: tuple[Run, Collection]) -> Iterator[TestClient]:
    with client_of(*digits_run) as client:
        yield client


def lines(client: TestClient, path: str) -> list[dict[str, Any]]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def pixels(url: str) -> NDArray[np.uint8]:
    """Pixels `[H, W]` or `[H, W, 3]` of a data URL."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))))


def refusal(answer: Any, status: int) -> str:  # noqa: ANN401 - a response of whatever client the library uses
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"])


def test_the_atlas_is_described(client: TestClient, digits_atlas: tuple[Atlas, ACN]) -> None:
    *_, last = lines(client, "/api/atlas")
    atlas = last["atlas"]
    assert (atlas["run"], atlas["splits"], atlas["count"]) == ("digits", ["train"], 1437)
    assert atlas["shape"] == {"height": 8, "width": 8, "channels": 1, "levels": 17}
    assert atlas["labels"] == [str(digit) for digit in range(10)]
    assert np.allclose(atlas["shares"], digits_atlas[0].principal.shares)
    assert atlas["daydreams"] is True


@pytest.mark.parametrize("family", ["vlae", "vae"])
def test_a_model_without_neighbours_shows_all_but_daydreams(family: str, tmp_path: Path) -> None:
    run, collection = make_run(tmp_path / "run", f"model.name={family}")
    with client_of(run, collection, run.path) as client:
        atlas = lines(client, "/api/atlas")[-1]["atlas"]
        assert (atlas["daydreams"], atlas["count"]) == (False, 1437)
        assert len(client.get("/api/item/3").json()["by_code"]) > 0
        drawn = lines(client, "/api/item/3/reconstructions?seed=4&copies=2")[0]["images"]
        sampler = Sampler(opened(run, collection)[1], torch.Generator().manual_seed(4))
        expected = sampler.reconstruct(collection.train.batch([3]), 2)[0]
        found = [pixels(url) for url in drawn]
        assert np.array_equal(found, to_pictures(expected, run.palette)[..., 0])
        assert "daydreaming needs a prior" in lines(client, "/api/item/3/dream")[-1]["error"]


def test_the_first_view_is_that_of_the_atlas(digits_run: tuple[Run, Collection]) -> None:
    run, collection = digits_run
    with client_of(run, collection, run.path) as client:
        for query in ("", "?x=2&y=1"):
            answer = client.get(f"/api/early{query}")
            assert answer.content == client.get(f"/api/points{query}").content
        assert answer.headers["x-fingerprint"] == lines(client, "/api/atlas")[-1]["atlas"]["fingerprint"]
        assert client.get("/api/early?x=3").status_code == 204
        assert client.get("/api/early?x=nonsense").status_code == 204


def test_without_kept_codes_there_is_no_first_view(client: TestClient, tmp_path: Path) -> None:
    assert client.get("/api/early").status_code == 204
    assert early_view(tmp_path) is None
    (tmp_path / PRIOR).write_bytes(b"damaged")
    assert early_view(tmp_path) is None


def test_the_first_view_needs_no_torch() -> None:
    program = "import sys, acn.web.server; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("query", "columns"), [("", [0, 1]), ("?x=2&y=0", [2, 0])])
def test_points_are_principal_components(
    client: TestClient, digits_atlas: tuple[Atlas, ACN], query: str, columns: list[int]
) -> None:
    found = np.frombuffer(client.get(f"/api/points{query}").content, "<f4").reshape(2, -1)
    assert np.array_equal(found, digits_atlas[0].points[:, columns].T)


def test_all_splits_at_once(digits_run: tuple[Run, Collection]) -> None:
    """Row i is image i of the splits one after the other: pixels, codes, labels and splits."""
    run, collection = digits_run
    splits = collection.splits
    counts = [len(images) for images in splits.values()]
    atlas, model = opened(run, collection, "all")
    assert len(atlas.images) == sum(counts)
    assert torch.equal(atlas.codes, torch.cat([encode(model, images, lambda _: None) for images in splits.values()]))
    row = counts[0] + 3
    mixed = atlas.images.batch([row, 5, sum(counts) - 1, row])
    expected = [splits["valid"].batch([3]), splits["train"].batch([5]), splits["test"].batch([counts[2] - 1])]
    assert torch.equal(mixed, torch.cat([*expected, expected[0]]))
    named = atlas.names()
    assert named is not None
    assert np.array_equal(named[1], np.concatenate([np.asarray(images.labels) for images in splits.values()]))
    assert atlas.splits()[0] == ["train", "valid", "test"]
    assert np.bincount(atlas.splits()[1]).tolist() == counts


@pytest.fixture(scope="module")
def files_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A run on a folder of files."""
    folder = tmp_path_factory.mktemp("files")
    for number in range(40):
        kind = folder / "images" / ("cats" if number % 2 else "dogs")
        kind.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 3, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(kind / f"a,{number}.png")
    with client_of(*make_run(folder / "run", f"data.source={folder / 'images'}")) as client:
        yield client


def test_images_are_found_by_a_part_of_their_file_names(files_client: TestClient, client: TestClient) -> None:
    atlas = lines(files_client, "/api/atlas")[-1]["atlas"]
    assert atlas["files"] is True
    found = np.frombuffer(files_client.get("/api/called?text=CATS").content, np.uint32).tolist()
    names = [files_client.get(f"/api/item/{row}").json()["file"] for row in range(atlas["count"])]
    assert found == [row for row, name in enumerate(names) if "cats" in name]
    assert 0 < len(found) < atlas["count"]
    assert files_client.get("/api/called?text=birds").content == b""
    assert client.get("/api/called?text=cats").content == b""  # these images have no names


def test_rows_become_a_table(files_client: TestClient) -> None:
    rows = np.array([4, 1], np.uint32)
    answer = files_client.post("/api/table?clusters=1", content=rows.tobytes())
    assert answer.headers["content-type"].startswith("text/csv")
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert [entry["index"] for entry in table] == ["4", "1"]
    assert {entry["split"] for entry in table} == {"train"}
    for entry, row in zip(table, rows.tolist(), strict=True):
        file = files_client.get(f"/api/item/{row}").json()["file"]
        assert entry["file_name"] == file
        assert entry["label"] == Path(file).parent.name
        assert 1 <= int(entry["cluster"]) <= 10
    assert "cluster" not in files_client.post("/api/table", content=rows.tobytes()).text
    for wrong in (b"123", np.array([40], np.uint32).tobytes()):
        assert "expected rows from 0 to" in refusal(files_client.post("/api/table", content=wrong), 400)


def test_groups(client: TestClient, digits_run: tuple[Run, Collection]) -> None:
    labels = np.frombuffer(client.get("/api/groups/labels").content, "<u4")
    assert np.array_equal(labels, np.asarray(digits_run[1].train.labels))
    clusters = np.frombuffer(client.get("/api/groups/clusters").content, "<u4")
    assert len(clusters) == 1437
    assert set(clusters.tolist()) == set(range(10))


def image_of(client: TestClient, key: int | str) -> str:
    return f"/api/image/{lines(client, '/api/atlas')[-1]['atlas']['fingerprint']}/{key}.png"


def test_an_image_of_other_codes_is_not_served(client: TestClient) -> None:
    """Its address may be kept for ever."""
    assert "load the page again" in refusal(client.get("/api/image/x/3.png"), 404)


def test_images_are_exact(client: TestClient, digits_run: tuple[Run, Collection]) -> None:
    run, collection = digits_run
    for row in (0, 1436):
        answer = client.get(image_of(client, row))
        assert answer.headers["content-type"] == "image/png"
        assert "immutable" in answer.headers["cache-control"]
        shown = np.asarray(Image.open(io.BytesIO(answer.content)))
        assert np.array_equal(shown, to_pictures(collection.train.batch([row]), run.palette)[0, ..., 0])


def test_an_item(client: TestClient, digits_atlas: tuple[Atlas, ACN]) -> None:
    atlas, _ = digits_atlas
    item = client.get("/api/item/17?near=5").json()
    assert item["code"] == atlas.codes[17].tolist()
    assert item["place"] == atlas.points[17].tolist()
    assert item["done"] is None
    assert [tuple(pair) for pair in item["by_code"]] == atlas.by_code(atlas.codes[17], 5, 17)
    found = client.get("/api/item/17/pixels?near=5").json()["by_pixels"]
    assert [tuple(pair) for pair in found] == atlas.by_pixels(atlas.images.batch([17])[0], 5, 17)


def test_reconstructions_are_those_of_the_sampler(client: TestClient, digits_run: tuple[Run, Collection]) -> None:
    run, collection = digits_run
    _, model = opened(*digits_run)
    drawn = lines(client, "/api/item/17/reconstructions?seed=3&copies=4")[0]["images"]
    sampler = Sampler(model, torch.Generator().manual_seed(3))
    expected = to_pictures(sampler.reconstruct(collection.train.batch([17]), 4), run.palette)[0]
    assert np.array_equal([pixels(url) for url in drawn], expected[..., 0])
    assert drawn == lines(client, "/api/item/17/reconstructions?seed=3&copies=4")[0]["images"]
    assert drawn != lines(client, "/api/item/17/reconstructions?seed=4&copies=4")[0]["images"]


def test_a_daydream_is_that_of_the_sampler(client: TestClient, digits_run: tuple[Run, Collection]) -> None:
    """Each next image is drawn at a code drawn from the prior given the code of the last one."""
    run, collection = digits_run
    atlas, model = opened(*digits_run)
    steps = lines(client, "/api/item/17/dream?seed=3&steps=4")
    chain = Sampler(model, torch.Generator().manual_seed(3)).daydream(collection.train.batch([17]), 4)[0, 1:]
    assert np.array_equal([pixels(step["image"]) for step in steps], to_pictures(chain, run.palette)[..., 0])
    places = atlas.principal.project(model.posterior(chain).mean.numpy())
    assert np.allclose([step["place"] for step in steps], places, atol=1e-4)


def test_an_image_lands_where_it_lies(client: TestClient, digits_atlas: tuple[Atlas, ACN]) -> None:
    atlas, _ = digits_atlas
    values = to_values(atlas.images.batch([5]), atlas.run.palette)[0, ..., 0]
    key = client.post("/api/land", content=encoded(values)).json()["key"]
    item = client.get(f"/api/item/{key}").json()
    assert item["done"] == []
    assert item["by_code"][0][0] == 5
    assert item["by_code"][0][1] < 1e-4
    assert np.allclose(item["place"], atlas.points[5], atol=1e-4)
    assert client.get(f"/api/item/{key}/pixels").json()["by_pixels"][0] == [5, 0.0]
    assert client.get(image_of(client, key)).content == client.get(image_of(client, 5)).content
    assert lines(client, f"/api/item/{key}/dream?seed=1&steps=2") == lines(client, "/api/item/5/dream?seed=1&steps=2")
    assert client.post("/api/land", content=encoded(values)).json()["key"] == key
    assert client.post("/api/land?invert=1", content=encoded(values)).json()["key"] != key


def test_bad_uploads_are_refused_and_the_server_goes_on(client: TestClient) -> None:
    whole = encoded(np.zeros((50, 50), dtype=np.uint8))
    for data in (b"", b"hello", whole[: len(whole) // 2], b"<svg xmlns='http://www.w3.org/2000/svg'/>"):
        assert "not an image" in refusal(client.post("/api/land", content=data), 400)
    assert "pixels" in refusal(client.post("/api/land", content=bomb(60_000, 60_000)), 413)
    assert "16 MiB" in refusal(client.post("/api/land", content=bytes(MOST_BYTES + 1)), 413)
    assert client.post("/api/land", content=whole).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/item/1437", 404, "0 to 1436"),
        ("/api/item/-1", 404, "no image"),
        ("/api/item/1e3", 404, "no image"),
        ("/api/item/²", 404, "no image"),
        ("/api/item/" + "9" * 30, 404, "no image"),
        ("/api/item/drop-0123456789abcdef", 404, "drop it again"),
        ("/api/image/x/nothing.png", 404, "no image"),
        ("/api/item/5?near=0", 400, "near"),
        ("/api/item/5/dream?steps=1000000", 400, "steps"),
        ("/api/item/5/reconstructions?copies=x", 400, "copies"),
        ("/api/item/5/reconstructions?seed=-1", 400, "seed"),
        ("/api/points?x=3", 400, "x expects"),
        ("/api/groups/nonsense", 404, "clusters"),
        ("/api/nonsense", 404, "Not Found"),
    ],
)
def test_wrong_questions_get_a_sentence(client: TestClient, path: str, status: int, words: str) -> None:
    assert words in refusal(client.get(path), status)


def test_the_page_and_its_parts(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for part in ("explore.js", "style.css", "icon.svg", "vendor/regl-scatterplot.js", "vendor/LICENSES.txt"):
        assert client.get(f"/static/{part}").status_code == 200
    assert client.get("/static/../server.py").status_code == 404
    assert client.get("/static/%2e%2e/server.py").status_code == 404
    assert "access-control-allow-origin" not in page.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8420", 200),
        ("localhost:1", 200),
        ("LOCALHOST", 200),
        ("[::1]:8420", 200),
        ("192.168.1.7:8420", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example:8420", 400),
        ("localhost.evil.example", 400),
        ("", 400),
    ],
)
def test_foreign_names_are_refused(client: TestClient, host: str, status: int) -> None:
    for path in ("/", "/api/item/1", "/static/style.css"):
        assert client.get(path, headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("site", "status"), [("same-origin", 200), ("none", 200), ("cross-site", 403), ("same-site", 403)]
)
def test_foreign_pages_are_refused(client: TestClient, site: str, status: int) -> None:
    assert client.get("/api/item/1", headers={"Sec-Fetch-Site": site}).status_code == status
    assert client.get("/", headers={"Sec-Fetch-Site": site}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8420", 200),
        ("http://127.0.0.1:3000", 403),  # another server of this machine
        ("http://127.0.0.1", 403),
        ("http://localhost:8420", 403),
        ("http://127.0.0.1:8420.evil.example", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_foreign_origins_are_refused(client: TestClient, origin: str, status: int) -> None:
    """Browsers send no `Sec-Fetch-Site` to addresses other than this machine's, and old ones none at all."""
    for path in ("/", "/api/item/1", "/static/style.css"):
        assert client.get(path, headers={"Origin": origin}).status_code == status
    sent = client.post("/api/land", content=encoded(np.zeros((8, 8), dtype=np.uint8)), headers={"Origin": origin})
    assert sent.status_code == status
    both = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
    assert client.get("/api/item/1", headers=both).status_code == status


def test_one_own_origin_does_not_hide_a_foreign_one(client: TestClient) -> None:
    for name, own, foreign in (("Origin", "http://127.0.0.1:8420", "null"), ("Sec-Fetch-Site", "none", "cross-site")):
        for values in ((own, foreign), (foreign, own)):
            headers = [(name, value) for value in values]
            assert client.get("/api/item/1", headers=headers).status_code == 403


def test_colour_images_without_labels(colour_run: tuple[Run, Collection]) -> None:
    run, collection = colour_run
    with client_of(*colour_run) as client:
        atlas = lines(client, "/api/atlas")[-1]["atlas"]
        assert atlas["labels"] is None
        assert "clusters" in refusal(client.get("/api/groups/labels"), 404)
        assert len(client.get("/api/groups/clusters").content) == 4 * atlas["count"]
        shown = np.asarray(Image.open(io.BytesIO(client.get(image_of(client, 3)).content)))
        assert np.array_equal(shown, collection.train.values([3])[0])
        assert pixels(lines(client, "/api/item/3/reconstructions")[0]["images"][0]).shape == (6, 5, 3)
        key = client.post("/api/land", content=encoded(collection.train.values([3])[0])).json()["key"]
        code = client.get(f"/api/item/{key}").json()["code"]
        expected = encode(opened(run, collection)[1], collection.train.take(np.array([3])), lambda _: None)
        assert np.allclose(code, expected[0], atol=1e-4)


@pytest.mark.parametrize("how", ["static", "dynamic"])
def test_binarized_images_are_shown_as_the_model_sees_them(how: str, tmp_path: Path) -> None:
    run, collection = make_run(tmp_path / "run", f"data.binarize={how}")
    with client_of(run, collection, run.path) as client:
        shown = client.get(image_of(client, 3)).content
        bits = np.asarray(Image.open(io.BytesIO(shown)))
        assert np.array_equal(bits, 255 * collection.train.batch([3])[0, 0].numpy())
        key = client.post("/api/land", content=shown).json()["key"]
        assert client.get(f"/api/item/{key}").json()["by_code"][0][1] < 1e-4
        assert client.get("/api/item/3").json()["by_code"][0][0] != 3


def test_many_browsers_at_once_get_what_one_gets(client: TestClient) -> None:
    paths = [
        f"/api/item/{row}/{what}?seed={row}" for row in range(4) for what in ("reconstructions", "dream", "pixels")
    ]
    paths = [path + ("&steps=3" if "dream" in path else "") for path in paths]
    alone = [client.get(path).text for path in paths]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: client.get(path).text, paths * 2))
    assert together == alone * 2
