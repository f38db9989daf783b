"""The application: what containerd, and people, talk to.

    cli.py           commands              daemon.py      the process that containerd calls
    service.py       gRPC, thin            status.py      domain errors as gRPC codes
    cri_proxy.py     CRI's image service, which learns credentials on the way
    grpc_server.py   its socket            watching.py    metrics, health and debugging over HTTP
    snapshots.py     the model: the ten operations on snapshots, without gRPC
    records.py       what is known of snapshots (sqlite)       directories.py   where they lie
    id_mapping.py    whose users a container has               former_mounts.py  what is mounted below them
    mapped_layers.py layers with the owners of such users      user_namespaces.py  what that takes
    labels.py        where a layer comes from                  mounts.py        how containerd mounts it
    filters.py       containerd's filter expressions           verdicts.py      why layers are not lazy
    layer_server.py  what is asked of the fs server            fs_client.py     how, over its socket
    fs_process.py    starting it, detached                     fs_watch.py      starting it again when it died
    config.py        all settings                              config_keys.py   the keys of the configuration file
    metrics.py       what Prometheus is told                   signals.py       signals as values
    containerd_*.py  images in a running containerd            overlay_probe.py what overlayfs can do here
    cut_off.py       containers that lost their layers         container_names.py  what people call containers
    fs_running.py    the fs server of a daemon: started, kept running, stopped
    store/           layers for podman and CRI-O
    root_lock.py     one daemon for each root
    commands/        what people type                          sampling/        running an image to see what it opens

A layer that can be served lazily is *attached* by the fs server (package ``fs``) and committed at once;
everything else is an ordinary overlayfs snapshot. This process may die and restart at any time: what
running containers depend on lives in the fs server.
"""
