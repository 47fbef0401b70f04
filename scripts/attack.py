"""Placeholder until the adversary is in."""


def run():
    print("x")
