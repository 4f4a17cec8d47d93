"""Settings of all tests. The first import sets the thread variables, before NumPy or torch can be imported."""

from acn.threads import quiet_threads

quiet_threads()

import os  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(min(2, os.cpu_count() or 1))
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


# What trains, draws or starts programs, and takes most of the time: left out by `scripts/test -m "not slow"`.
SLOW = (
    *("cli", "codec", "reproduction", "training", "web", "test_array_training.py", "test_documents.py"),
    *("test_estimator.py", "test_hub.py", "test_trained.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests in `SLOW` folders and files."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a cache folder of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ACN_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True, scope="session")
def quick_priors() -> Iterator[None]:
    """Fit autoregressive priors in few steps: only their own tests ask how good they are, and most tests evaluate."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acn.evaluation.autoregressive.STEPS", 4)
        yield


@pytest.fixture
def data_folder() -> Path:
    """Return the folder of the real datasets, or skip the test."""
    folder = os.environ.get("ACN_DATA")
    if not folder:
        pytest.skip("ACN_DATA does not name the folder of the datasets")
    return Path(folder)
