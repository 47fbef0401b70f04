"""How long a download waits for what."""

from __future__ import annotations

import dataclasses

from intriguing_tf.checks import check_between, check_positive_integer


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long a download waits for what.

    Args:
        attempts: per address.
        pause: seconds. The second attempt follows at once, the third after 2 pauses, the fourth
            after 4, and so on. A server's Retry-After counts instead.
        longest_pause: seconds that a server's Retry-After, or the growing pauses, may reach.
        connect: seconds for a connection.
        silence: seconds without a single byte.
        window: seconds over which less than `slowest` bytes per second means a stalled server.
            They count from the first byte of the answer's status line on; bytes of the headers do
            not count.
        slowest: bytes per second.

    Raises:
        TypeError, ValueError: no positive integer of attempts, or times and a rate that are not
            positive and finite.

    Example:

        itf.zoo.load("imagenet/googlenet", patience=itf.zoo.Patience(attempts=2, window=10.0))
    """

    attempts: int = 5
    pause: float = 0.5
    longest_pause: float = 60.0
    connect: float = 10.0
    silence: float = 30.0
    window: float = 60.0
    slowest: float = 1024.0

    def __post_init__(self) -> None:
        check_positive_integer("attempts", self.attempts)
        for name in ("pause", "longest_pause", "connect", "silence", "window", "slowest"):
            check_between(name, getattr(self, name), 0)

    def before(self, attempt: int, asked: float | None = None) -> float:
        """Returns the seconds to wait before an attempt (the first is 1).

        Args:
            attempt: its number.
            asked: seconds that the server asked for, if it did.
        """
        growing = self.pause * 2 ** (attempt - 2) if attempt > 2 else 0.0
        return min(growing if asked is None else max(asked, 0.0), self.longest_pause)


PATIENCE = Patience()
