"""Content by digest: references, manifests, blobs; over HTTP, and in OCI layout directories.

The doors: ``client.RegistryClient`` reads and writes one registry's content, ``images.open_image`` gives the same view of
a registry and of a directory. Everything else here is values and decisions without I/O. Nothing in this package
knows what is inside a blob.
"""
