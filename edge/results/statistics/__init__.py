"""What the log says of a sample: counts, intervals, corrections, and what people said of its cells."""
