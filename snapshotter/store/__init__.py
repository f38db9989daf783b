"""An Additional Layer Store: lazy layers for podman, CRI-O and buildah, which use containers/storage.

    operations.py    the directory that they look into: pyfuse3's calls in, answers of ``layers`` out
    layers.py        the model: found by the image's manifest, served by the fs server while somebody uses them
    image.py         what containers/storage is told of a layer        records.py      what is used (sqlite)
    nodes.py         the directory's numbers                           credentials.py  what podman passes while it pulls
    daemon.py        the process

The directory leads to layers by symbolic links: containers depend on the fs server, never on this process.
"""
