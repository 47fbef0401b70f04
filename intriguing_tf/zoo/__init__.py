"""Pretrained weights: catalogue, load, download, import from other formats."""
