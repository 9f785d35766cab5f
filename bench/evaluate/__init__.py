"""Evaluation protocols: a frozen encoder or a fitted classifier in, stored results out (never metrics)."""
