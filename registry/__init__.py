"""Content by digest: references, manifests, blobs; over HTTP, in OCI layout directories, and in archives.

The doors: ``client.RegistryClient`` reads and writes one registry's content, ``images.open_image`` gives the same view of
a registry, a directory and an archive. Nothing in this package knows what is inside a blob.

A request's way down, each module knowing only the one below it:

    client                                    what can be asked
    manifests  reading  uploads  referrers    one question each, and what makes its answer a good one
    exchange                                  whom to ask, with what token, where it was redirected, and whether again
    transport                                 one request, one open response
    transfers  transfer                       bytes on and off the wire, by libcurl

``authorizer`` has the tokens that ``exchange`` sends (``tokens`` fetches them, ``keychain`` knows who we are),
``host_lookup`` the endpoints it asks. Most other modules are values and decisions without I/O.
"""
