"""Expression language: parse text to a syntax tree and render it back."""
