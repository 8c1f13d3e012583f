"""The commands of the ``blastcount`` command line, one module each."""
