"""The strategy interface and the one training loop."""
