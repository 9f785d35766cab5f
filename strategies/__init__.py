"""One pre-training strategy a file."""
