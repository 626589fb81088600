"""The published numbers: reading them, matching them with ours, auditing them, checking the claims about them."""
