"""Deadlines by minimum speed: a connection over which too little comes is cut.

A timeout of a socket starts again with every byte, so a server that sends one now and then is
waited for as long as it likes, wherever in the answer it does so. Here a timer in a thread of its
own shuts the socket down, which ends the read that waits for it: in a proxy's greeting, in TLS, in
the status line, the headers, the sizes of chunks or the body.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import requests.adapters

from intriguing_tf.zoo.patience import Patience


class Stalled(Exception):
    """Too little came in too much time."""


class Pace:
    """What comes over the connections of one attempt, and how fast.

    Args:
        patience: `connect` and `silence` bound the time to the first byte of an answer, `window`
            and `slowest` all that follows.

    Attributes:
        stalled: why a connection was cut; empty if none was.
    """

    def __init__(self, patience: Patience):
        self._patience = patience
        self._turn = threading.RLock()
        self._connection: socket.socket | None = None
        self._timer = threading.Timer(0, self._judge)
        self._received = 0  # bytes of bodies
        self._first_byte: float | None = None
        self.stalled = ""

    def __enter__(self) -> Pace:
        return self

    def __exit__(self, *exception: Any) -> None:
        with self._turn:
            self._timer.cancel()
            self._let_go()

    def watch(self, connection: socket.socket) -> None:
        """Takes charge of a new connection, which has not been used yet."""
        with self._turn:
            self._let_go()
            self._connection = connection.dup()  # TLS takes the original away from its owner
            self._allow(self._patience.connect + self._patience.silence)

    def start(self) -> None:
        """Starts the window: the first byte of a status line is here."""
        if self._first_byte is None:
            self._first_byte = time.monotonic()
        with self._turn:
            self._allow(self._patience.window)

    def count(self, size: int) -> None:
        """Counts bytes of a body."""
        self._received += size

    def check(self) -> None:
        """Raises `Stalled` if all answers since the first byte together were too slow."""
        seconds = time.monotonic() - (self._first_byte or time.monotonic())
        if seconds > self._patience.window and self._is_slow(self._received, seconds):
            raise Stalled(_report(self._received, seconds))

    def _is_slow(self, size: int, seconds: float) -> bool:
        return size < self._patience.slowest * seconds

    def _allow(self, seconds: float) -> None:
        self._timer.cancel()
        self._timer = threading.Timer(seconds, self._judge, (self._received, seconds))
        self._timer.daemon = True
        self._timer.start()

    def _judge(self, before: int, seconds: float) -> None:
        with self._turn:
            if threading.current_thread() is not self._timer:  # it came too late to be cancelled
                return
            came = self._received - before
            if not self._is_slow(came, seconds):
                self._allow(self._patience.window)
            elif self._connection is not None:
                self.stalled = _report(came, seconds)
                with contextlib.suppress(OSError):  # the server was faster
                    self._connection.shutdown(socket.SHUT_RDWR)

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Adapter(requests.adapters.HTTPAdapter):
    """Has a `Pace` watch every connection, those through proxies too. Repeats nothing."""

    def __init__(self, pace: Pace):
        self._pace = pace
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not known:
            self._watch(manager)
        return manager

    def _watch(self, manager: Any) -> None:
        pools: Mapping[str, type] = manager.pool_classes_by_scheme
        manager.pool_classes_by_scheme = {
            scheme: _watched(pool, self._pace) for scheme, pool in pools.items()
        }


def _watched(pool: Any, pace: Pace) -> type:
    """Returns urllib3's class of pools with connections that `pace` watches."""

    class Response(http.client.HTTPResponse):
        def begin(self) -> None:
            if self.headers is None:
                self.fp.peek(1)  # waits for the first byte
                pace.start()
            super().begin()
            if self.headers.defects:
                raise http.client.HTTPException(f"headers that are none: {self.headers.defects}")

    class Connection(pool.ConnectionCls):
        response_class = Response

        def _new_conn(self) -> socket.socket:
            connection = super()._new_conn()
            pace.watch(connection)
            return connection

    class Pool(pool):
        ConnectionCls = Connection

    return Pool


def _report(size: int, seconds: float) -> str:
    return f"stalled: {size:,} bytes in {seconds:.3g} s"
