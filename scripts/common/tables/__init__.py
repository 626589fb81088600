"""Tables in every format, their cells and their language."""
