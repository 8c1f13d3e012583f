"""Rewrites of the Keras graph before conversion."""
