"""One encoder a file; each is found by its `name`."""
