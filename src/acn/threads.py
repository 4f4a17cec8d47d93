"""Thread pools that do not fight: settings of the process that must come before NumPy and torch are imported.

Two pools of spinning threads slow each other down by an order of magnitude as soon as anything else runs on the
machine, so OpenMP's idle threads are told to sleep, and OpenBLAS, which works beside torch's own pool, gets one thread.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_QUIET = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}


def quiet_threads() -> None:
    """Set the variables that the user has not set. Has no effect on libraries that are already imported."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run the body with one BLAS thread, even if NumPy was imported before this package."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1, user_api="blas"):
        yield
