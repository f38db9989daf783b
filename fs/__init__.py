"""Layers as file systems: what runs under containers.

One process, the *fs server*, mounts one FUSE file system with a directory per layer and fetches what is
read. A read goes

    operations.py     the kernel's call            layer.py          which chunks it needs
    chunk_store.py    they are here: done          fetching.py       they are not: one flight for all
    layer_blob.py     by range from the registry   (estargz)         decompressed and verified

A layer is attached once (``layers.py``): its TOC is compiled (``compiling.py``) into an inode table and a chunk table,
which are kept on disk (``layer_directory.py``) and mapped from there (``layer_image.py``), so that attaching it again
(``layer_opening.py``) costs neither a request nor memory for what nobody reads.
With the other backend (``backend.py``) the kernel shows layers itself, as EROFS mounts (package ``erofs``) of an image of their
metadata, and asks for missing content only:

    erofs/data_server.py  the kernel's request     erofs/data_space.py  which chunks it needs

All content is one cache: what other layers have is copied and not fetched (``sharing.py``), and there is a limit
(``cache.py``, ``eviction.py``), beyond which content is served and not kept.
``server.py`` is the process; ``control.py`` is how the snapshotter talks to it.
"""
