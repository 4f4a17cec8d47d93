"""Archives as a user meets them: images in, the same images out, and one sentence for whatever is wrong."""

import contextlib
import io
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from acn.codec.archive import read
from tests.cli.command import SMALL, acn, refused

FIRST = "class 0/é 0.bmp"
GOLDEN = Path(__file__).parents[1] / "codec" / "golden"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `run`, 40 digits in the folder `scans` by class, and the archive `kept.acn` of them."""
    folder = tmp_path_factory.mktemp("archives")
    done = acn("train", "--out", "run", *SMALL, "--set", "training.epochs=1", cwd=folder)
    assert done.returncode == 0, done.stderr
    bunch = load_digits()
    for number, (pixels, label) in enumerate(zip(bunch.images[:40], bunch.target[:40], strict=True)):
        (folder / "scans" / f"class {label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "scans" / f"class {label}" / f"é {number}.bmp")
    done = acn("compress", "scans", "kept.acn", "--model", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "40 images; 1 block" in done.stdout
    assert done.stdout == acn("info", "kept.acn", cwd=folder).stdout
    return folder


def pictures(folder: Path) -> dict[str, bytes]:
    """Pixels of all pictures by their names without suffix."""
    found = {}
    for path in folder.rglob("*.*"):
        with Image.open(path) as picture:
            found[str(path.relative_to(folder).with_suffix(""))] = np.asarray(picture).tobytes()
    return found


def changed(work: Path, name: str, data: bytes) -> str:
    (work / name).write_bytes(data)
    return name


def test_names_and_pixels_come_back(work: Path) -> None:
    done = acn("decompress", "kept.acn", "again", cwd=work)
    assert done.returncode == 0, done.stderr
    assert pictures(work / "again") == pictures(work / "scans")
    assert {path.suffix for path in (work / "again").rglob("*.*")} == {".bmp"}
    done = acn("verify", "kept.acn", cwd=work)
    assert (done.returncode, done.stdout) == (0, "kept.acn: all 40 images are intact\n")


def test_arrays_come_back_with_labels(work: Path) -> None:
    assert acn("decompress", "kept.acn", "kept.npz", cwd=work).returncode == 0
    with np.load(work / "kept.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"images", "labels", "files"}
        for pixels, label, file in zip(arrays["images"], arrays["labels"], arrays["files"], strict=True):
            assert str(file).split("/")[0] == str(label)
            assert pictures(work / "scans")[str(Path(str(file)).with_suffix(""))] == pixels.tobytes()


def test_forgetting_the_order_is_shorter(work: Path) -> None:
    done = acn("compress", "scans", "forgotten.acn", "--model", "run", "--order", "forget", cwd=work)
    assert done.returncode == 0, done.stderr
    header = read((work / "forgotten.acn").read_bytes()).header
    assert header.blocks[0].mode in ("set", "tour")
    assert header.notes_bytes == 0
    kept = read((work / "kept.acn").read_bytes()).header
    assert header.blocks[0].bytes < kept.blocks[0].bytes
    assert acn("decompress", "forgotten.acn", "forgotten", cwd=work).returncode == 0
    assert sorted(pictures(work / "forgotten").values()) == sorted(pictures(work / "scans").values())
    assert (work / "forgotten" / "000039.png").exists()


def test_model_may_stay_with_the_run(work: Path) -> None:
    done = acn("compress", "scans", "alone.acn", "--model", "run", "--no-embed", "--mode", "tour", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "not in the archive" in done.stdout
    assert f"Keep run/frozen-{read((work / 'alone.acn').read_bytes()).header.model.identity[:16]}.acnm" in done.stderr
    sentence = refused(acn("decompress", "alone.acn", "alone", cwd=work), 1)
    assert "holds no model: name the run" in sentence
    assert acn("decompress", "alone.acn", "alone", "--model", "run", cwd=work).returncode == 0
    assert sorted(pictures(work / "alone").values()) == sorted(pictures(work / "scans").values())
    shutil.copy(GOLDEN / "model-elsewhere.acn", work / "others.acn")
    for command in ("decompress", "others.acn", "never"), ("verify", "others.acn"):
        assert "made with another model: expected" in refused(acn(*command, "--model", "run", cwd=work), 1)
    assert not (work / "never").exists()


def test_a_lossy_archive_says_so_everywhere(work: Path) -> None:
    done = acn("compress", "scans", "lossy.acn", "--model", "run", "--lossy", "--no-embed", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "LOSSY: the archive holds a short code of each image, not the image." in done.stdout
    assert done.stdout == acn("info", "lossy.acn", cwd=work).stdout
    assert "codes (list)" in done.stdout
    last = done.stderr.splitlines()[-1]
    size = read((work / "lossy.acn").read_bytes()).header.blocks[0].bytes
    found = re.fullmatch(r"LOSSY: codes of (\d+) bytes, (.*) an image \(computed (\d+)\), and none of .*", last)
    assert found is not None
    assert (int(found[1]), found[2]) == (size, f"{size / 40:.2f}")
    assert 0.98 * int(found[3]) - 1 <= size <= 1.02 * int(found[3]) + 17
    assert size < 0.7 * read((work / "kept.acn").read_bytes()).header.blocks[0].bytes
    assert "holds no model: name the run" in refused(acn("decompress", "lossy.acn", "no", cwd=work), 1)
    assert "lossy: it does not hold its images" in refused(acn("verify", "lossy.acn", cwd=work), 2)


def test_a_lossy_archive_is_restored_by_a_seed(work: Path) -> None:
    assert acn("compress", "scans", "inside.acn", "--model", "run", "--lossy", "--step", "1", cwd=work).returncode == 0
    folders = {}
    for name, options in {"default": (), "zero": ("--seed", "0"), "one": ("--seed", "1")}.items():
        done = acn("decompress", "inside.acn", name, *options, cwd=work)
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1].startswith("LOSSY: ")
        folders[name] = pictures(work / name)
    assert folders["default"] == folders["zero"] != folders["one"]
    assert folders["one"].keys() == pictures(work / "scans").keys()
    assert {len(pixels) for pixels in folders["one"].values()} == {64}
    assert {path.suffix for path in (work / "one").rglob("*.*")} == {".bmp"}
    assert acn("decompress", "inside.acn", "inside.npz", "--seed", "1", cwd=work).returncode == 0
    with np.load(work / "inside.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"images", "labels", "files"}
        for pixels, file in zip(arrays["images"], arrays["files"], strict=True):
            assert folders["one"][str(Path(str(file)).with_suffix(""))] == pixels.tobytes()
    sentence = refused(acn("decompress", "kept.acn", "never", "--seed", "1", cwd=work), 2)
    assert "kept.acn is lossless, so nothing is drawn from it: leave out --seed" in sentence


def test_a_wider_step_and_no_order_are_shorter(work: Path) -> None:
    sizes = []
    for options in (("--step", "0.125"), ("--step", "4"), ("--step", "0.125", "--order", "forget")):
        done = acn(
            "compress", "scans", "step.acn", "--model", "run", "--lossy", "--force", "--no-embed", *options, cwd=work
        )
        assert done.returncode == 0, done.stderr
        header = read((work / "step.acn").read_bytes()).header
        sizes.append(header.blocks[0].bytes)
    assert sizes[0] > max(sizes[1:])
    assert (header.blocks[0].mode, header.notes_bytes) == ("set", 0)


def test_a_lossy_archive_does_not_take_every_file(work: Path, tmp_path: Path) -> None:
    (tmp_path / "clear").mkdir()
    Image.fromarray(np.zeros((8, 8, 2), np.uint8), "LA").save(tmp_path / "clear" / "a.png")
    sentence = refused(acn("compress", "clear", "out.acn", "--model", str(work / "run"), "--lossy", cwd=tmp_path), 1)
    assert "a.png has transparency, which an archive keeps without loss alone" in sentence
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "clear" / "b.png")
    sentence = refused(acn("compress", "clear", "out.acn", "--model", str(work / "run"), "--lossy", cwd=tmp_path), 1)
    sizes = "found 8x8 (height x width) in a.png and 8x9 in b.png"
    assert f"{sizes}; nothing is resized for an archive: leave out --model and --lossy, which take one size" in sentence
    assert not (tmp_path / "out.acn").exists()


def test_freeze_measures_what_rounding_costs(work: Path) -> None:
    done = acn("freeze", "run", "--images", "50", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "50 test images" in done.stdout
    [kept] = (work / "run").glob("frozen-*.acnm")
    first = kept.read_bytes()
    kept.unlink()
    assert acn("freeze", "run", cwd=work).returncode == 0
    assert kept.read_bytes() == first
    kept.write_bytes(first[:-9])
    assert "delete it to have it made again" in refused(acn("freeze", "run", cwd=work), 1)
    kept.unlink()


def test_damage_is_named(work: Path) -> None:
    data = (work / "kept.acn").read_bytes()
    header = read(data).header
    flipped = bytearray(data)
    flipped[-9] ^= 16
    for name, content, words in (
        ("cut.acn", data[:-100], "cut short"),
        ("head.acn", data[:50], "cut short"),
        ("text.acn", b"This is no archive.\n", "expected an archive of acn"),
        ("empty.acn", b"", "expected an archive of acn"),
        ("later.acn", data[:8] + b"\x05" + data[9:], "install a newer acn"),
        ("flipped.acn", bytes(flipped), "block 1 of 1 (images 0 to 39 of train) is damaged"),
    ):
        file = changed(work, name, content)
        said = refused(acn("decompress", file, "nothing", cwd=work), 1)
        assert words in said
        assert name in said
        assert not (work / "nothing").exists()
    assert header.blocks[0].images == 40
    assert not [path for path in work.iterdir() if path.name.startswith(".")]


def test_files_that_cannot_be_kept_are_left_out_if_wanted(work: Path) -> None:
    mixed = work / "mixed"
    mixed.mkdir()
    good = (work / "scans" / "class 0" / "é 0.bmp").read_bytes()
    for name, data in (("a.bmp", good), ("b.bmp", good[:30]), ("c.bmp", good[:60])):
        (mixed / name).write_bytes(data)
    command = ("compress", "mixed", "mixed.acn", "--model", "run")
    said = refused(acn(*command, cwd=work), 1)
    assert "found 2 of 3 files that it cannot keep: b.bmp (" in said
    assert "c.bmp (" in said
    refused(acn(*command, "--skip-damaged", "--strict", cwd=work), 1)
    done = acn(*command, "--skip-damaged", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "2 files that an archive cannot keep were left out: b.bmp (" in done.stderr
    assert f"source {len(good):,} bytes (1 file), archive" in done.stderr
    assert acn("decompress", "mixed.acn", "kept", cwd=work).returncode == 0
    assert [path.name for path in (work / "kept").iterdir()] == ["a.bmp"]
    (mixed / "a.bmp").unlink()
    said = refused(acn(*command, "--skip-damaged", "--force", cwd=work), 1)
    assert "found none but b.bmp (" in said
    assert said.endswith("; add images\n")


def test_suggested_commands_can_be_pasted(work: Path) -> None:
    """Names with blanks and brackets, which would be styles to the library that prints."""
    done = acn("compress", "scans", "a [b] :cat:.acn", "--model", "run", "--no-embed", cwd=work)
    assert done.returncode == 0, done.stderr
    suggested = next(line for line in done.stderr.splitlines() if "acn decompress" in line)
    words = shlex.split(suggested[suggested.index("acn decompress") :])
    assert words[1:3] == ["decompress", "a [b] :cat:.acn"]


def test_images_of_shards_are_told_of_and_left_out_too(work: Path) -> None:
    """A shard is read as arrays: what was converted is lost, and what is damaged may be left out."""
    good = (work / "scans" / "class 0" / "é 0.bmp").read_bytes()
    clear = io.BytesIO()
    Image.open(io.BytesIO(good)).convert("LA").save(clear, "PNG")
    with tarfile.open(work / "shard.tar", "w") as shard:
        for name, data in (("a.bmp", good), ("b.bmp", good[:30]), ("c.png", clear.getvalue())):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            shard.addfile(member, io.BytesIO(data))
    command = ("compress", "shard.tar", "shard.acn", "--model", "run")
    assert "b.bmp" in refused(acn(*command, cwd=work), 1)
    assert "1 image with transparency" in refused(acn(*command, "--skip-damaged", "--strict", cwd=work), 1)
    done = acn(*command, "--skip-damaged", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "Converted: 1 image with transparency." in done.stderr
    assert "1 damaged image was left out: " in done.stderr
    assert "2 images; 1 block" in done.stdout


def test_what_is_left_of_a_damaged_archive(work: Path) -> None:
    """Two splits are two blocks: the one that is damaged is left out."""
    images = load_digits().images.astype(np.uint8)
    np.savez(work / "two.npz", train_images=images[:9], test_images=images[9:12])
    done = acn("compress", "two.npz", "two.acn", "--model", "run", cwd=work)
    assert done.returncode == 0, done.stderr
    data = bytearray((work / "two.acn").read_bytes())
    data[read(bytes(data)).starts[0] + 3] ^= 1
    changed(work, "half.acn", bytes(data))
    said = refused(acn("decompress", "half.acn", "half", cwd=work), 1)
    assert "images 0 to 8 of train" in said
    assert "acn decompress --partial restores the other blocks" in said
    done = acn("decompress", "half.acn", "half", "--partial", cwd=work)
    assert done.returncode == 1, done.stderr
    assert "left out: block 1 of 2 (images 0 to 8 of train)" in done.stderr
    assert done.stderr.endswith("acn: 1 of 2 blocks left out; what they held is lost\n")
    assert sorted(path.name for path in (work / "half").rglob("*.png")) == ["000000.png", "000001.png", "000002.png"]
    whole = (work / "two.acn").read_bytes()
    changed(work, "short.acn", whole[:-5])
    assert "acn decompress --partial restores 1 of 2 blocks" in refused(
        acn("decompress", "short.acn", "no", cwd=work), 1
    )
    done = acn("decompress", "short.acn", "short", "--partial", cwd=work)
    assert done.returncode == 1, done.stderr
    assert "left out: block 2 of 2 (images 0 to 2 of test)" in done.stderr
    assert len(list((work / "short").rglob("*.png"))) == 9
    assert {path.name for path in (work / "half").iterdir()} == {"test"}


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("decompress", "kept.acn", "scans"), 2, "exists already"),
        (("decompress", "missing.acn", "out"), 1, "missing.acn could not be read: No such file"),
        (("info", "scans"), 1, "scans is a folder, not an archive; give the file that acn compress wrote (acn check"),
        (("verify", "run"), 1, "run is the folder of a run, not an archive; acn evaluate and acn report describe runs"),
        (("verify", "missing.acn"), 1, "No such file"),
        (("decompress", "kept.acn", "/proc/none/out"), 1, "could not be written"),
        (("compress", "run", "scans"), 2, "expects SOURCE OUT.acn, and scans is a folder"),
        (("compress", "scans", "out.acn", "--model", "run", "--train-minutes", "1"), 2, "leave out one of them"),
        (("compress", "scans", "run", "--model", "run"), 2, "is a folder"),
        (("compress", "scans", "out.acn", "--model", "missing"), 1, "not a run folder"),
        (("compress", "missing", "out.acn", "--model", "run"), 1, "no file or folder"),
        (("compress", "scans", "out.acn", "--model", "run", "--split", "test"), 2, "has no split"),
        (
            ("compress", "scans", "out.acn", "--model", "run", "--lossy", "--mode", "tour"),
            2,
            "a lossy archive has no tour",
        ),
        (("compress", "scans", "out.acn", "--model", "run", "--step", "2"), 2, "--step is for lossy archives"),
        (
            ("compress", "scans", "out.acn", "--model", "run", "--lossy", "--step", "9"),
            2,
            "a step from 0.0625 to 8 widths",
        ),
        (("compress", "scans", "out.acn", "--model", "run", "--lossy", "--step", "nan"), 2, "found nan"),
        *[
            (("compress", "scans", "out.acn", "--model", "run", "--order", order, "--mode", mode), 2, words)
            for order, mode, words in (
                ("keep", "set", "--mode set forgets the order, and --order keep does not: leave out one of them"),
                ("keep", "tour", "--mode tour forgets the order"),
                ("forget", "list", "--mode list keeps the order, and --order forget does not"),
            )
        ],
        (("extract", "kept.acn", FIRST, "/proc/none/q"), 1, "/proc/none/q/class 0/é 0.bmp could not be written"),
        (("freeze", "missing"), 1, "not a run folder"),
    ],
)
def test_mistakes_end_in_one_sentence(arguments: tuple[str, ...], status: int, words: str, work: Path) -> None:
    before = sorted(work.rglob("*"))
    assert words in refused(acn(*arguments, cwd=work), status)
    assert sorted(work.rglob("*")) == before


@contextlib.contextmanager
def little_room(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("out", ["out.npz", "pictures", "out.acn"])
def test_a_full_disk_leaves_nothing_behind(out: str, work: Path, tmp_path: Path) -> None:
    kept, run, scans = (str(work / name) for name in ("kept.acn", "run", "scans"))
    with little_room(50):
        done = acn(
            *(("compress", "--model", run, scans) if out == "out.acn" else ("decompress", kept)), out, cwd=tmp_path
        )
    assert f"{out} could not be written" in refused(done, 1)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_no_file(work: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "acn",
            "compress",
            "digits",
            "out.acn",
            "--model",
            str(work / "run"),
            "--no-embed",
            "--batch",
            "1",
        ],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"FORCE_COLOR": "1"},  # the progress is shown as on a terminal
    )
    assert process.stderr is not None
    shown = ""
    while "list" not in shown:
        shown += process.stderr.read(1) or pytest.fail(shown)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.endswith("acn: interrupted\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_model_is_trained_on_the_images_themselves(work: Path) -> None:
    command = ("compress", "--train-minutes", "0.05", "scans", "small.acn")
    done = acn(*command, cwd=work)
    assert done.returncode == 0, done.stderr
    assert pictures(work / "scans") == pictures_of("small.acn", work)
    trained = (work / "small.acn.run" / "checkpoint.safetensors").read_bytes()
    first = (work / "small.acn").read_bytes()
    assert "overwrite it with --force" in refused(acn(*command, cwd=work), 2)
    assert (
        acn(*command, "--force", cwd=work).returncode == 0
    )  # its training is over: the same run makes the same archive
    assert (work / "small.acn.run" / "checkpoint.safetensors").read_bytes() == trained
    assert (work / "small.acn").read_bytes() == first
    longer = acn("compress", "--train-minutes", "0.06", "scans", "small.acn", "--force", cwd=work)
    sentence = refused(longer, 1)
    assert "training.max_minutes=0.05, expected 0.06; delete it to train again" in sentence


def pictures_of(archive: str, work: Path) -> dict[str, bytes]:
    out = f"{archive}.out"
    assert acn("decompress", archive, out, cwd=work).returncode == 0
    return pictures(work / out)
