"""What a field costs on this machine: time by stage, memory, start, heat and energy.

``measure`` runs subjects in turn and sums up, ``engines`` gives the networks of ``--compare``, ``fields``
what is counted, ``path`` one field from file to log, ``process`` and ``probe`` what only a fresh process
can tell, ``profile`` where Python stands in it, ``machine``, ``pi`` and ``energy`` where and in what state
all this was measured, ``session`` puts a run together, ``report`` renders it, and ``baseline`` is the gate
against an earlier run.
"""
