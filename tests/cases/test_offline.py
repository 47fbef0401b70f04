"""INTRIGUING_TF_OFFLINE=1: no socket is opened, whatever a card says."""

import json
import os
import subprocess
import sys

import pytest

from tests.zoo import fault_server

ADDRESS = "http://127.0.0.1:9/weights"
CARDS: dict[str, dict[str, object]] = {
    "addresses": {"urls": [ADDRESS]},
    "unpinned": {"urls": [ADDRESS], "sha256": None, "size": None, "sha1": 40 * "a"},
    "package": {"package": {"distribution": "numpy", "path": "numpy/version.py"}},
    "imagenet": {"builder": "keras_application", "arguments": {"name": "MobileNetV2"}},
    "given": {
        "builder": "keras_application",
        "arguments": {"name": "MobileNetV2", "weights": "imagenet"},
    },
    "path": {
        "builder": "keras_application",
        "arguments": {"name": "MobileNetV2", "weights": "/etc/passwd"},
    },
}
CODE = """
import json, sys, warnings
from intriguing_tf import zoo
from intriguing_tf.zoo.keras_files import load
import keras
warnings.simplefilter("ignore")
sockets, opened, said = [], [], {}
def watch(event, arguments):
    if event.startswith("socket.") and event != "socket.gethostname":
        sockets.append(f"{event} {arguments[1:]}")
    if event == "open" and "passwd" in str(arguments[0]):
        opened.append(str(arguments[0]))
sys.addaudithook(watch)
names = zoo.list()
uses = {
    "path": zoo.path, "load": zoo.load, "pin": zoo.pin, "verify": zoo.verify,
    "fresh": lambda name: zoo.load(name, weights=False),
}
for name in names:
    for use, function in uses.items():
        try:
            function(name)
        except (ValueError, OSError) as error:
            said[f"{name} {use}"] = type(error).__name__
print(json.dumps([sockets, opened, said]))
"""


@pytest.mark.slow
def test_no_card_opens_a_socket(tmp_path):
    cards = []
    for name, fields in CARDS.items():
        card = fault_server.card(f"test/{name}", b"weights")
        card |= {"format": "npz", "file": "weights.npz", "parameters": 3_538_984} | fields
        cards.append(
            {key: value for key, value in card.items() if value is not None}
            | {key: None for key, value in fields.items() if value is None}
        )
    (tmp_path / "catalogue.json").write_bytes(fault_server.catalogue(*cards))
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={
            **os.environ,
            "INTRIGUING_TF_ZOO": str(tmp_path),
            "INTRIGUING_TF_CACHE": str(tmp_path / "cache"),
            "INTRIGUING_TF_OFFLINE": "1",
            "KERAS_HOME": str(tmp_path / "keras"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    sockets, opened, said = json.loads(done.stdout.splitlines()[-1])
    assert not sockets and not opened
    assert said["test/addresses path"] == said["test/unpinned pin"] == "DownloadError"
    assert said["test/given fresh"] == said["test/path fresh"] == "IntegrityError"
    assert len(said) >= 4 * len(CARDS) - 2
