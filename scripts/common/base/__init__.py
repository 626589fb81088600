"""What everything may use: errors, paths, templates, keyed random numbers, batch arithmetic, processes, safe HTML."""
