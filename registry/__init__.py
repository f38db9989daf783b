"""Content by digest: references, manifests, blobs; over HTTP, in OCI layout directories, and in archives.

The doors: ``client.RegistryClient`` reads and writes one registry's content, ``images.open_image`` gives the same view of
a registry, a directory and an archive. Everything else here is values and decisions without I/O. Nothing in this package
knows what is inside a blob.
"""
