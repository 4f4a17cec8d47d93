"""Everything that can go wrong in a user's hands, one class per kind of thing that went wrong.

    AcnError                    base; the command line prints its sentence and exits with `exit_code`
    ├── UsageError              an argument or a setting is wrong (exit status 2)
    ├── DataError               the images or labels are not usable
    │   ├── DamagedImageError     (acn.data.formats) a file cannot be decoded
    │   ├── UnkeptError           (acn.data.originals) an archive cannot keep what a file holds
    │   ├── TooManyPixelsError    (acn.data.formats) an image is larger than data.largest_megapixels
    │   ├── TooLargeError         (acn.web.uploads) an image that was dropped has too many bytes
    │   └── MissingImageError     (acn.web.explorer) the explorer has no such image
    ├── RunError                a run folder or checkpoint is missing, damaged or does not fit
    │   └── BusyError           another process trains the run
    ├── ArchiveError            an archive or frozen model is damaged, or made by or for another model
    ├── TrainingError           training cannot go on, for instance because the loss is not finite
    ├── StorageError            the disk refused: full, read-only, no permission
    ├── MissingExtraError       an optional library is not installed
    ├── QueueFullError          (acn.web.worker) the explorer has too many jobs
    └── LateError               (acn.web.routes) a request took too long to arrive

Every message is one sentence or two: what was expected, what was found, where, and what to do.
"""


class AcnError(Exception):
    """Base of all errors that `acn` raises on purpose."""

    exit_code = 1


class UsageError(AcnError):
    """An argument or a setting is wrong."""

    exit_code = 2


class DataError(AcnError):
    """The images or labels are not usable."""


class RunError(AcnError):
    """A run folder or checkpoint is missing, damaged, or does not fit the request."""


class BusyError(RunError):
    """Another process has the run in hand."""


class ArchiveError(AcnError):
    """An archive is damaged, of a later version, or needs another model."""


class TrainingError(AcnError):
    """Training cannot go on."""


class StorageError(AcnError):
    """The disk refused to write."""


class MissingExtraError(AcnError):
    """An optional library is not installed."""

    def __init__(self, library: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the library {library}, which is not installed: pip install {library}")
