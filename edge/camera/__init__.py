"""Sources of frames: files, folders, videos, cameras and the rendered smear."""
