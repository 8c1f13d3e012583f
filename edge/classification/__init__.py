"""From a cell to a class: the one crop, the model bundle, the interpreters."""
