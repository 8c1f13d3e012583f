"""Keras model to int8 TFLite, through a parity gate."""
