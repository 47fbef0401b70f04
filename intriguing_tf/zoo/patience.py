"""How long a download waits for what."""

from __future__ import annotations

import dataclasses


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
        slowest: bytes per second.
    """

    attempts: int = 5
    pause: float = 0.5
    longest_pause: float = 60.0
    connect: float = 10.0
    silence: float = 30.0
    window: float = 60.0
    slowest: float = 1024.0


PATIENCE = Patience()
