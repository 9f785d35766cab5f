"""Pure torch: encoders, heads, losses, augmentations. Imports nothing else of the harness."""
