"""Many images x models x settings: shards, resume, Ray."""
