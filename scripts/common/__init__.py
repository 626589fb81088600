"""What the entry points in `scripts/` share."""
