"""The published numbers: read, matched with ours, audited, and the claims made of them."""
