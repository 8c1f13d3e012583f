"""Fields and cells of every laboratory, in one form, with the groups that must stay together."""
