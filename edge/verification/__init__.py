"""How well the program does on this laboratory's own slides: cells drawn, read blind, and summed up.

``population`` gathers cells and ``drawing`` chooses among them, ``estimate`` gives shares with intervals that
account for it, ``agreement`` compares samples' shares, ``measured`` makes the site card of a verification,
``sheet`` says it on one page, ``again`` counts its cells with other code. ``blastcount verify`` loads it.

``fitting`` with ``prior`` moves the model's threshold to labelled cells, which ``words`` gathers
(``blastcount recalibrate``), and ``compare`` runs two models on samples' pictures (``blastcount compare``).
"""
