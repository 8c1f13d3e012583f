"""What is said of a sample: figures, words of people, and the forms in which it is handed on."""
