"""What people do with photographs by their codes: similar ones, duplicates, clusters."""

import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acn.cli.cluster import cluster
from acn.cli.duplicates import duplicates
from acn.cli.encode import write_codes
from acn.cli.similar import parted, similar
from acn.errors import DataError, UsageError
from acn.run_models import load_model
from acn.runs import open_run
from tests.cli.command import SMALL, acn, refused
from tests.web.conftest import make_run

Captured = pytest.CaptureFixture[str]


def noise(seed: int, *shape: int) -> Image.Image:
    """Return a picture with large patches, so that resizing keeps something of it."""
    small = np.random.default_rng(seed).integers(0, 256, (3, 3, *shape[2:]), dtype=np.uint8)
    return Image.fromarray(small).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 40 photographs of many sizes in two classes, three of them twice, two nearly twice."""
    folder = tmp_path_factory.mktemp("work") / "photos"
    for number in range(40):
        path = folder / ("cat", "dog")[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = noise(number, 20 + number, 50 - number, 3)
        picture.save(path)
        if number % 16 == 0:
            picture.save(path.with_suffix(".bmp"))
        if number in (5, 9):
            picture.resize((picture.width * 2, picture.height * 2)).save(path.with_name(f"{number:02}-large.png"))
    return folder


@pytest.fixture(scope="module")
def run(photos: Path) -> Path:
    return make_run(photos.parent / "run", f"data.source={photos}", "data.size=12x10")[0].path


def listed(capsys: Captured) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_similar_is_the_nearest_by_code(run: Path, photos: Path, tmp_path: Path, capsys: Captured) -> None:
    noise(7, 64, 80, 3).save(tmp_path / "query.jpg")
    similar(run, [str(tmp_path / "query.jpg"), str(photos / "dog" / "05.png"), str(photos)], near=4, form="csv")
    rows = listed(capsys)
    codes: dict[str, np.ndarray] = {}
    for name, source in (("all", photos), ("query", tmp_path / "query.jpg")):
        write_codes(
            open_run(run), load_model(open_run(run)), str(source), tmp_path / f"{name}.npz", lambda *_: lambda _: None
        )
        codes |= {f"{name} {key}": values for key, values in np.load(tmp_path / f"{name}.npz").items()}
    distances = np.linalg.norm(codes["all codes"].astype(float) - codes["query codes"][0], axis=1)
    expected = np.argsort(distances, kind="stable")[:4]
    assert [int(row["row"]) for row in rows[:4]] == expected.tolist()
    assert [row["name"] for row in rows[:4]] == [str(photos / codes["all file_name"][place]) for place in expected]
    np.testing.assert_allclose([float(row["distance"]) for row in rows[:4]], distances[expected], rtol=1e-4, atol=1e-6)
    assert {row["query"] for row in rows[4:]} == {str(photos / "dog" / "05.png")}
    assert (rows[4]["name"], rows[4]["split"], rows[4]["label"]) == (str(photos / "dog" / "05.png"), "train", "dog")
    assert float(rows[4]["distance"]) == pytest.approx(0, abs=1e-4)
    assert [row["rank"] for row in rows[4:]] == ["1", "2", "3", "4"]


def test_similar_searches_the_images_of_the_run(run: Path, photos: Path, tmp_path: Path, capsys: Captured) -> None:
    query = str(photos / "cat" / "16.bmp")
    similar(run, [query], near=2, form="json")
    found = json.loads(capsys.readouterr().out)
    assert {Path(entry["name"]).name for entry in found} == {"16.bmp", "16.png"}
    similar(run, [query], near=1000)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == query
    assert len(lines) == 1 + 45  # there are no more
    similar(run, [query, query], near=3, out=tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 4 * 50
        assert np.asarray(sheet).std() > 20
    with pytest.raises(UsageError, match="exists already"):
        similar(run, [query], out=tmp_path / "sheet.png")


def test_which_places_are_queries(photos: Path) -> None:
    one, other, folder = str(photos / "cat" / "00.png"), str(photos / "dog" / "01.png"), str(photos)
    assert parted([one]) == ([one], None)
    assert parted([one, other]) == ([one, other], None)
    assert parted([one, other, folder]) == ([one, other], folder)
    assert parted([folder]) == ([folder], None)
    assert parted([folder, folder]) == ([folder], folder)
    assert parted([one, "digits"]) == ([one], "digits")
    assert parted([one, "-"]) == ([one, "-"], None)


def test_queries_that_cannot_be_are_one_sentence(run: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="found an empty name"):
        similar(run, [""])
    for name, words in (
        ("empty", "expected image files"),
        ("broken.png", "cannot be decoded"),
        ("none", "no file or folder"),
    ):
        with pytest.raises(DataError, match=words):
            similar(run, [str(tmp_path / name)])
    with pytest.raises(UsageError, match=r"ends in \.csv, \.json, \.txt, \.png"):
        similar(run, [str(photos)], out=tmp_path / "out.doc")


def test_a_run_of_one_size_takes_a_query_of_another_when_asked(tmp_path: Path, capsys: Captured) -> None:
    run = make_run(tmp_path / "run")[0].path  # digits
    noise(0, 40, 30).save(tmp_path / "query.png")
    with pytest.raises(DataError, match="fit it with --fit crop"):
        similar(run, [str(tmp_path / "query.png")])
    similar(run, [str(tmp_path / "query.png")], near=3, fit="pad", form="csv")
    rows = listed(capsys)
    assert len(rows) == 3
    assert rows[0]["name"].startswith("train image ")


def test_duplicates_by_pixels_alone(photos: Path, capsys: Captured) -> None:
    duplicates(str(photos), form="csv")
    rows = listed(capsys)
    assert [Path(row["name"]).name for row in rows] == ["00.bmp", "00.png", "16.bmp", "16.png", "32.bmp", "32.png"]
    assert [row["equal_to"] for row in rows[:2]] == ["", str(photos / "cat" / "00.bmp")]
    assert [row["group"] for row in rows] == list("112233")
    assert len(list(photos.rglob("*.*"))) == 45  # nothing was deleted


def test_near_duplicates_by_code(run: Path, photos: Path, tmp_path: Path, capsys: Captured) -> None:
    duplicates(str(run), out=tmp_path / "found.json")
    assert "3 images equal an earlier one in every pixel" in capsys.readouterr().err
    entries = json.loads((tmp_path / "found.json").read_text())
    groups: dict[int, set[str]] = {}
    for entry in entries:
        groups.setdefault(entry["group"], set()).add(Path(entry["name"]).name)
    for together in ({"05.png", "05-large.png"}, {"09.png", "09-large.png"}, {"32.png", "32.bmp"}):
        assert any(together <= group for group in groups.values())
    assert len(entries) < 20
    duplicates(str(run), str(photos), threshold=0, form="csv")
    assert len(listed(capsys)) == 6


def test_duplicates_of_arrays_and_of_few_images(run: Path, photos: Path, tmp_path: Path, capsys: Captured) -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)[[0, 1, 0, 2, 0]]
    np.savez(tmp_path / "set.npz", train_images=pixels, test_images=pixels[:1])
    duplicates(str(tmp_path / "set.npz"), form="csv")
    assert [(row["name"], row["equal_to"]) for row in listed(capsys)] == [
        ("train image 0", ""),
        *((f"{name} image {row}", "train image 0") for name, row in (("train", 2), ("train", 4), ("test", 0))),
    ]
    duplicates(str(run), str(photos / "cat" / "00.png"))
    told = capsys.readouterr().err
    assert told.startswith("0 groups: 0 images equal")
    assert "too few images to tell which are near" in told
    with pytest.raises(UsageError, match="name a RUN first"):
        duplicates(str(photos), threshold=0.3)


def test_clusters_are_listed_and_drawn(run: Path, photos: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "groups"
    cluster(run, str(photos), count=3, out=out)
    assert {path.name for path in out.iterdir()} == {"clusters.csv", *(f"cluster-00{group}.png" for group in range(3))}
    rows = list(csv.DictReader(io.StringIO((out / "clusters.csv").read_text())))
    assert len(rows) == 45
    sizes = [sum(row["cluster"] == str(group) for row in rows) for group in range(3)]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == 45
    kinds = [[row["label"] for row in rows if row["cluster"] == str(group)] for group in range(3)]
    purity = sum(max(kind.count("cat"), kind.count("dog")) for kind in kinds) / 45
    assert f"purity {purity:.3f}, NMI " in capsys.readouterr().out
    with pytest.raises(UsageError, match="exists already"):
        cluster(run, str(photos), out=out)
    cluster(run, str(photos), count=2, method="mixture", out=out, force=True)
    assert not (out / "cluster-002.png").exists()
    (out / "mine.txt").write_text("kept")
    with pytest.raises(UsageError, match=r"holds other files, such as mine\.txt"):
        cluster(run, str(photos), out=out, force=True)
    assert (out / "clusters.csv").exists()


def test_lists_keep_the_bytes_of_names_that_are_no_unicode(run: Path, photos: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 %d.png")
    (tmp_path / "old").mkdir()
    for number in range(2):
        shutil.copy(photos / "cat" / "00.png", tmp_path / "old" / (name % number))
    source = str(tmp_path / "old")
    cluster(run, source, count=1, out=tmp_path / "clusters")
    for suffix in (".csv", ".txt", ".json"):
        duplicates(source, out=tmp_path / f"equal{suffix}")
        similar(run, [str(tmp_path / "old" / (name % 0)), source], near=2, out=tmp_path / f"near{suffix}")
    lists = [*tmp_path.glob("*.csv"), *tmp_path.glob("*.txt"), tmp_path / "clusters" / "clusters.csv"]
    assert len(lists) == 5
    assert all(b"caf\xe9 1.png" in path.read_bytes() for path in lists)
    for path in tmp_path.glob("*.json"):  # which is Unicode, and can say what is none
        assert any(Path(entry["name"]).name == name % 1 for entry in json.loads(path.read_text()))


def test_equal_images_are_one_cluster(run: Path, photos: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "equal").mkdir()
    for name in "abc":
        shutil.copyfile(photos / "cat" / "00.png", tmp_path / "equal" / f"{name}.png")
    cluster(run, str(tmp_path / "equal"), count=3, out=tmp_path / "one")
    assert "There is 1 cluster, not 3: the others were left without images." in capsys.readouterr().err


def test_one_image_is_a_cluster(run: Path, photos: Path, tmp_path: Path, capsys: Captured) -> None:
    cluster(run, str(photos / "cat" / "00.png"), count=500, out=tmp_path / "one")
    assert "There is 1 cluster, not 500: there are no more images." in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"clusters.csv", "cluster-000.png"}


def test_photographs_are_trained_on_and_found_on_the_command_line(photos: Path, tmp_path: Path) -> None:
    assert "--size 20" in refused(acn("train", str(photos), *SMALL, cwd=tmp_path), 1)
    assert "data.fit is read only with data.size" in refused(acn("train", str(photos), "--fit", "pad", cwd=tmp_path), 2)
    done = acn("train", str(photos), "--size", "8x10", "--fit", "pad", *SMALL, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "images of 8 x 10 x 3" in done.stdout
    assert "45 images resized and padded with black" in done.stdout
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]["data"]
    assert (config["size"], config["fit"]) == ([8, 10], "pad")
    done = acn("similar", "run", str(photos / "cat" / "00.bmp"), "--near", "2", "--format", "csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = [row["name"] for row in csv.DictReader(io.StringIO(done.stdout))]
    assert {Path(name).name for name in names} == {"00.bmp", "00.png"}
