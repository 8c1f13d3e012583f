"""What is read from and changed in the converted file."""
