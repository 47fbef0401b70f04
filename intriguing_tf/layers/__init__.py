"""The few Keras layers that Keras lacks."""
