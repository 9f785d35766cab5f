"""Corpora on disk -> prepared corpora -> splits. Imports nothing else of the harness."""
