"""Metrics of stored results: numpy and scikit-learn only."""
