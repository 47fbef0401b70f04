"""What can go wrong between a name and a model; every message says what to do."""

from intriguing_tf.text import cut

LONGEST = 3000  # letters of a message: it quotes cards and files, which may hold anything


class _Brief(Exception):
    """Says no more than `LONGEST` letters, whatever it was made of."""

    def __init__(self, message: str = ""):
        super().__init__(cut(message, LONGEST))


class CatalogueError(_Brief, ValueError):
    """The catalogue is not one that this release can trust or read."""


class DownloadError(_Brief, OSError):
    """No address gave the file, or the cache could not take it."""


class IntegrityError(_Brief, ValueError):
    """A file is not what its card says, or holds more than data."""


class UnpinnedError(IntegrityError):
    """The entry's SHA-256 is not known yet; `zoo.pin` fixes it."""
