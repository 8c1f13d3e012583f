"""Runs on the device: from a microscope camera frame to a logged blast count."""
