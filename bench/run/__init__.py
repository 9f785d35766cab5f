"""Suites, plans, cells, the store and the executors."""
