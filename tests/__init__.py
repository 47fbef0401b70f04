"""Tests, and what they share: `from tests.seeds import seed`."""
