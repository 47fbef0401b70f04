"""Ways to train that are compared, by name: `--help` lists them without TensorFlow."""

from __future__ import annotations

PLAIN = "mnist/fc100-100-10"  # with weight decay alone
ENTRIES = {
    "decay": PLAIN,
    "pools": f"{PLAIN}-pools",
    "gradient": f"{PLAIN}-gradient",
    "lipschitz": f"{PLAIN}-lipschitz",
    "certified": f"{PLAIN}-certified",
    "combined": f"{PLAIN}-combined",
}
POOLS_AT = {
    "pool-input": (None,),
    "pools-hidden": ("fc1", "fc2"),
    "pools-all": (None, "fc1", "fc2"),
}
METHODS = ("decay", "dropout", *POOLS_AT, "pools-moved", *list(ENTRIES)[1:])
