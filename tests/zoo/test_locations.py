"""Which zoo is in use."""

import pytest

from intriguing_tf import zoo


@pytest.mark.parametrize("value", ["no/such/folder", "file:///etc", "ftp://host/zoo", "https://"])
def test_zoos_that_are_none(monkeypatch, value):
    monkeypatch.setenv("INTRIGUING_TF_ZOO", value)
    with pytest.raises(ValueError, match="INTRIGUING_TF_ZOO"):
        zoo.list()
