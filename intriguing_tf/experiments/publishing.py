"""Moved to `intriguing_tf.publishing`."""

from intriguing_tf.aliases import moved_names

__getattr__ = moved_names(__name__, "intriguing_tf.publishing")
