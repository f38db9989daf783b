"""What users buy, measured: how long until a container is ready, what it costs, and how fast the parts are.

    startup.py    cold starts, lazily and by full pulls     scale.py      a whole node, and a rolling update
    profile.py    where the time of one start goes          demo.py       one comparison, for ``make demo``
    convert.py, members.py, compressors.py, toc.py          registry.py, fs.py
                  conversion and formats                                  requests, and layers as file systems

A startup sample is taken by ``modes.take_samples``: ``images`` are built of packages and ``publishing`` keeps them in a registry,
``network`` (``network_proxy``, ``network_link``, ``network_log``) is between it and the node, ``starts`` runs a workload (``workloads``) and times
it; ``results``, ``budgets``, ``charts`` and ``report`` make pages of it. ``waterfall``, ``rpc_tap`` and ``cpu_watch`` are the parts of
``profile``. Daemons come from ``tests.e2e``: both need them the same. docs/benchmarks.md explains the method.
"""
