"""One convention for progress: shown on a terminal, or as said."""

import pytest

from intriguing_tf.progress import progress_bar, shows_progress


@pytest.mark.parametrize(
    ("verbose", "terminal", "shown"),
    [("auto", True, True), ("auto", False, False), (True, False, True), (False, True, False),
     (1, False, True), (0, True, False)],
)  # fmt: skip
def test_progress_is_shown_as_said_or_on_a_terminal(monkeypatch, verbose, terminal, shown):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    assert shows_progress(verbose) is shown
    with progress_bar(10, "search", verbose, done=3) as bar:
        assert bar.disable is not shown
        bar.update(2)
        if shown:
            assert bar.n == 5


@pytest.mark.parametrize("verbose", ["yes", 2, None, 0.5])
def test_other_settings_are_refused(verbose):
    with pytest.raises(ValueError, match=r"True, False or \"auto\". Received"):
        shows_progress(verbose)
