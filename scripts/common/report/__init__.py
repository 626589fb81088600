"""The report page, its figures, the account of a run, and archives."""
