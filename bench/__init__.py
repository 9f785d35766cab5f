"""The leadboard harness: it owns data, splits, seeds, the loop, evaluation and the store; it names no strategy."""
