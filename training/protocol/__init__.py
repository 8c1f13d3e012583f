"""The leak-free protocol: who is trained on what, judged on what, and what the figures say."""
