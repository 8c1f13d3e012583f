"""A sample handed on: to a hospital system, to a spreadsheet, to training."""
