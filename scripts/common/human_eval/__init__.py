"""The blind comparison by people: rating page and ratings."""
