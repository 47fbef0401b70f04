"""Moved to `intriguing_tf.publishing`."""

from intriguing_tf.aliases import moved_names, renamed_function
from intriguing_tf.publishing import recipe_names

recipes = renamed_function("experiments.recipes.recipes", recipe_names)
__getattr__ = moved_names(__name__, "intriguing_tf.publishing")
