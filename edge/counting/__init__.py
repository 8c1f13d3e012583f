"""The line from a frame to a tally, and what is counted once."""
