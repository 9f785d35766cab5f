"""One baseline a file, behind the same interface as a strategy."""
