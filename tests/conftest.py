"""The order of the files: those with the most slow tests first, so that no worker waits long."""

from __future__ import annotations

import collections

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the files; tests within a file stay as they are."""
    slow = collections.Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])
