"""Layers that the kernel shows by itself: EROFS for names and attributes, FUSE for what has not been fetched yet.

    trees.py           the mounts of all layers, and their change to local ones once a layer is complete
    metadata_image.py  a layer's compiled tables as an EROFS image: ``directories.py``, ``xattrs.py``, ``on_disk_format.py``
    mounts.py          mounting it, and whether this kernel can; ``loop_devices.py`` for those before 6.12

The image's content lies in a file of a file system of our own, which is mounted once for all layers:

    data_server.py     the kernel's requests, in a thread of their own; ``fuse_protocol.py`` has their bytes
    data_directory.py  its one directory, a file for each layer     data_space.py  what of a file is here, and what must be fetched
    data_connection.py /dev/fuse, new or from the predecessor       keeper.py      the process that holds it meanwhile
    kept_connection.py another keeper when that one dies            descriptor_store.py  systemd, which holds it when all die
"""
