"""Recipes: one module each, hyperparameters first, to be read from top to bottom."""
