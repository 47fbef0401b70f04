"""What can go wrong between a name and a model; every message says what to do."""


class CatalogueError(ValueError):
    """The catalogue is not one that this release can trust or read."""


class DownloadError(OSError):
    """No address gave the file, or the cache could not take it."""


class IntegrityError(ValueError):
    """A file is not what its card says, or holds more than data."""


class UnpinnedError(IntegrityError):
    """The entry's SHA-256 is not known yet; `zoo.pin` fixes it."""
