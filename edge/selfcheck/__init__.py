"""Whether this device is fit to count: model, camera, disk, clock, rights, supply, log, each with what to do.

``finding`` is one outcome; ``camera``, ``machine`` and ``records`` look; ``examine`` runs all of it.
"""
