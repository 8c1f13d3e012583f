"""The daemon: a camera's frames counted into the log for months, with nobody looking after it.

``capture`` has the camera in a thread of its own, ``trigger`` says when to count, ``recorder`` counts into
the log, ``loop`` drives them, ``control`` answers people and pages, ``status`` and ``supervisor`` tell
how it is. Nothing is imported here, so that a client of the control socket loads no OpenCV.
"""
