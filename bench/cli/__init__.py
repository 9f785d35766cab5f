"""The command line: parse, call, print. No logic lives here."""

from bench.cli import data, encoders, runs, strategies, trust
from bench.cli.group import main

__all__ = ["data", "encoders", "main", "runs", "strategies", "trust"]
