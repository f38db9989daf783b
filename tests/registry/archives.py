"""Archives made by hand, as tools write them."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from registry.digest import Digest


def write_tar(
    path: Path, files: Mapping[str, bytes], *, links: Mapping[str, str] | None = None
) -> None:
    """A tar of files, with symbolic links after them."""
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)


def docker_config(layers: Sequence[bytes]) -> bytes:
    """A config of an image with these uncompressed layers."""
    diff_ids = [str(Digest.of(layer)) for layer in layers]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()


def docker_archive(
    path: Path, layers: Sequence[bytes], *, tags: Sequence[str] = ("a/b:1",)
) -> None:
    """What ``docker save`` writes, up to version 24: the second of two equal layers is a link."""
    config = docker_config(layers)
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    names: list[str] = []
    for number, layer in enumerate(layers):
        first = layers.index(layer)
        names.append(f"layer{number}/layer.tar")
        if first == number:
            files[names[-1]] = layer
        else:
            links[names[-1]] = f"../layer{first}/layer.tar"
    manifest = [{"Config": "config.json", "RepoTags": list(tags), "Layers": names}]
    files |= {"config.json": config, "manifest.json": json.dumps(manifest).encode()}
    write_tar(path, files, links=links)
