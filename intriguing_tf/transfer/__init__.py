"""Errors of many models on many sets of distorted images (section 4.2)."""
