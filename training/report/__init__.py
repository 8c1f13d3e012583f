"""What a training leaves for people: folders, cards, pages, plots."""
