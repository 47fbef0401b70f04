"""Manifests with wrong types or values are refused in words."""

import copy
import dataclasses
import json
import re

import pytest

from intriguing_tf.sweeps import Sweep
from intriguing_tf.sweeps.manifests import check_manifest
from intriguing_tf.sweeps.plan import Plan
from tests.faults.mutations import JUNK
from tests.faults.tampering import plan


def test_what_a_plan_writes_is_read_back():
    manifest = plan().manifest()
    assert Plan.from_manifest(manifest) == plan()
    assert Plan.from_manifest(manifest).sha256 == plan().sha256


def test_a_plan_that_could_not_be_read_is_not_written():
    many = dict.fromkeys(map(str, range(200_000)), "random")
    for change in ({"targets": many}, {"extends": ("a",) * 10_001}):
        with pytest.raises(ValueError, match=r"can be read again.*Received"):
            dataclasses.replace(plan(), **change).manifest()


CHANGES = {
    "no object": (lambda m: [m], "object"),
    "another kind": (lambda m: m | {"kind": "walk"}, "kind"),
    "a later format": (lambda m: m | {"format": 3}, "format"),
    "an unknown entry": (lambda m: m | {"extra": 1}, "extra"),
    "images": (lambda m: m | {"data": m["data"] | {"images": "15"}}, r"data\.images"),
    "shape": (lambda m: m | {"data": m["data"] | {"shape": [3, None]}}, r"data\.shape"),
    "slices": (lambda m: m | {"data": m["data"] | {"slices": ["a"]}}, "2 slices, not 1"),
    "a name": (lambda m: m | {"models": {"../m": m["models"]["family/m"]}}, "models"),
    "no models": (lambda m: m | {"models": {}}, "models"),
    "classes": (lambda m: m | {"models": {"m": {"sha256": "a"}}}, "classes"),
    "settings": (lambda m: m | {"settings": {"fast": []}}, "settings"),
    "a shard of none": (lambda m: m | {"shard_size": 0}, "shard_size"),
    "versions": (lambda m: m | {"versions": {"numpy": 2}}, "versions"),
    "many cells": (
        lambda m: m | {"targets": dict.fromkeys(map(str, range(200_000)), "random")}, "cells"
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_manifest_is_refused_in_words(change):
    spoil, words = CHANGES[change]
    with pytest.raises(ValueError, match=rf"Received: .*{words}"):
        Plan.from_manifest(spoil(plan().manifest()))


def test_a_wrong_manifest_is_refused_with_its_path(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(plan().manifest() | {"seed": None}))
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'manifest.json'}: ") + ".*seed"):
        Sweep(tmp_path)


@pytest.mark.parametrize("junk", JUNK, ids=lambda value: repr(value)[:20])
def test_no_entry_can_be_anything(junk):
    refused = 0
    for name in plan().manifest():
        manifest = copy.deepcopy(plan().manifest()) | {name: junk}
        try:
            check_manifest(manifest)
        except ValueError:
            refused += 1
    assert refused >= 7  # 1 may be a format or a seed
