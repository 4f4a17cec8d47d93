"""What measures a GPU runs, with tiny networks, where there is none."""

import pytest

from benchmarks import gpu, throughput


@pytest.mark.slow
def test_it_runs_on_whatever_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "REPEATS", 1)
    monkeypatch.setattr(throughput, "PRODUCT", 128)
    monkeypatch.setattr(gpu, "STEPS", 1)
    figures = gpu.run(lambda _: None)
    assert figures["generation_images_per_second"] > 0  # type: ignore[operator]
    for name in ("MNIST", "MNIST, mnist-gpu", "ImageNet 32 x 32"):
        found = figures[f"{name}, compile off"]
        assert isinstance(found, dict)
        assert found["training_share_of_floor"] > 0


def test_gaps_between_kernels_are_idle_time() -> None:
    kernels = [{"cat": "kernel", "ts": begin, "dur": length} for begin, length in ((10, 2), (11, 3), (18, 2))]
    assert gpu.idle_share([*kernels, {"cat": "cpu_op", "ts": 0, "dur": 50}]) == pytest.approx(1 - 6 / 10)
