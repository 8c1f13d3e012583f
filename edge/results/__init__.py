"""What is said of a sample, and the forms in which it is handed on."""
