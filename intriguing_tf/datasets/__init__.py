"""Images in: MNIST and ImageNet."""
