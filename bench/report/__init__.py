"""Tables, figures and the board, from the store alone."""
