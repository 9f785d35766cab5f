"""The command line: parse, call, print. No logic lives here."""

from bench.cli import data, runs, strategies, trust
from bench.cli.group import main

__all__ = ["data", "main", "runs", "strategies", "trust"]
