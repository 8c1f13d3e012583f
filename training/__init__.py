"""Data set to Keras model."""
