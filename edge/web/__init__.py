"""The page on which people watch the count, look at every cell, and correct it.

A small web server for the machine itself, or with a token for the network it is in. It reads the blood log,
adds people's words to it, and asks the daemon for its picture; it never changes a row and loads nothing
from anywhere.
"""
