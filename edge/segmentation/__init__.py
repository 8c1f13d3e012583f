"""White cells of a field: found, separated, outlined and told from what is no cell."""
