"""Natural basis and random directions of a layer's activation space (section 3)."""
