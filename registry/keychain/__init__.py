"""Who we are to a registry: logins from all places where people, kubelets and container engines keep them.

    credential_chain.py   all places, in their order: the first that knows the host and repository is believed
    credential_keys.py    which keys of a place speak of a host     credentials.py   a login, which never prints itself
    credential_files.py   docker's, podman's and mounted files, and ``credential_helpers.py``, the programs they name
    credential_providers.py  the kubelet's plugins, configured in ``provider_config.py``
    passed_credentials.py    what containerd passed on (CRI)        kubernetes_secrets.py  image pull secrets
    credential_seal.py       the former in a form that may lie on a disk
    secret_watch.py          keeps these up to date, by requests of ``api_server.py`` through the ``cluster_door.py`` that a
                             ``kubeconfig.py`` and the programs in it (``exec_credentials.py``) open
    docker_config.py         the one format that most places share  login_table.py         logins in our own configuration

``programs.py`` runs programs that know credentials: bounded in time and size, their output never logged.
"""
