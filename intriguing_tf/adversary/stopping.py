"""When a call ends before its searches have: after a time, or on Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any


class AttackInterrupted(KeyboardInterrupt):
    """Ctrl-C during an attack. A `KeyboardInterrupt`, so that whatever runs attacks ends too.

    Attributes:
        result: `AdversarialResult` of what was found until then; images that were not yet attacked
            count as failed.

    Example:

        try:
            result = adversary(images, labels)
        except itf.adversary.AttackInterrupted as interrupted:
            interrupted.result.save("so_far")
    """

    def __init__(self, result: Any):
        super().__init__("The attack was interrupted; `result` has what was found until then.")
        self.result = result


class Stopping:
    """Says when to stop. A context: within it the first Ctrl-C asks to stop, the second raises.

    Args:
        time_limit: seconds from now, or `None`.

    Attributes:
        reason: "time_limit" or "interrupted" once it was time to stop, else `None`.
    """

    def __init__(self, time_limit: float | None = None):
        self.reason: str | None = None
        self._end = None if time_limit is None else time.monotonic() + time_limit
        self._replaced = False

    def __call__(self) -> bool:
        """Whether to stop now."""
        if self.reason is None and self._end is not None and time.monotonic() >= self._end:
            self.reason = "time_limit"
        return self.reason is not None

    def __enter__(self) -> Stopping:
        # A handler of the user's own stays, and only the main thread may set any.
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)
            self._replaced = True
        return self

    def __exit__(self, *_: Any) -> None:
        if self._replaced:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _interrupt(self, *_: Any) -> None:
        if self.reason == "interrupted":
            raise KeyboardInterrupt
        self.reason = "interrupted"
