import os

import pytest

from intriguing_tf.zoo import catalogue
from tests.zoo import fault_server

CONTENT = os.urandom(300_000)


@pytest.fixture
def server():
    with fault_server.serving() as running:
        yield running


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Every test has a cache of its own and no zoo but its own."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("INTRIGUING_TF_CACHE", str(cache))
    for name in ("INTRIGUING_TF_ZOO", "INTRIGUING_TF_OFFLINE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    catalogue._remote.cache_clear()
    return cache


@pytest.fixture
def entry(server, monkeypatch):
    """A zoo at the server's address with one entry, `test/entry`; returns the weights' path."""
    server.files["/catalogue.json"] = fault_server.catalogue(
        fault_server.card("test/entry", CONTENT)
    )
    server.files["/test/entry/model.keras"] = CONTENT
    monkeypatch.setenv("INTRIGUING_TF_ZOO", server.address)
    return "/test/entry/model.keras"


@pytest.fixture
def content():
    return CONTENT
