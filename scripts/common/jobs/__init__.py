"""What every job does beside its work: console, digest, provenance, scratch state, GPU leases."""
