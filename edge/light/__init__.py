"""What is true of the light in one frame."""
