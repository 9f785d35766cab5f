"""`python -m bench` is the `leadboard` command."""

from bench.cli import main

main()
