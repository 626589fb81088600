"""What one sees on the terminal while a run goes on."""
