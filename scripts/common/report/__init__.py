"""The report page, its figures, the description of a run as a crate, and archives."""
