"""Layers with one of everything a tar can hold, and with everything a layer can hide.

Made from tar headers alone, so that owners, devices and times do not depend on what the filesystem under the test can store.
All of it lies below `/specimens`, except what changes files of the layers below.
"""

import io
import random
import struct
import tarfile
from collections.abc import Mapping

DIRECTORY = "specimens"
EPOCH = 1_700_000_000
BIG_FILE_BYTES = 9 * 1024 * 1024 + 12_345  # three chunks of 4 MiB, the last one partly filled
_FAR_FUTURE = 9_000_000_000  # the year 2255; containerd ends in 2262
_BEYOND_USTAR = 1 << 22  # owners that do not fit into the octal fields
_DEEP_LEVELS = 60
_VFS_CAP_REVISION_2 = 0x02000000
_VFS_CAP_EFFECTIVE = 0x000001
_CAP_NET_RAW = 13


class SpecimenTar:
    """Adds members with chosen metadata to a tar."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(  # noqa: PLR0913 -- a tar header has that many fields
        self,
        name: str,
        kind: bytes,
        *,
        data: bytes = b"",
        mode: int = 0o644,
        link: str = "",
        owner: tuple[int, int] = (0, 0),
        device: tuple[int, int] = (0, 0),
        mtime: str = str(EPOCH),
        xattrs: Mapping[str, bytes] | None = None,
    ) -> None:
        """Add one member; `mtime` is decimal text, so that it can have nanoseconds."""
        info = tarfile.TarInfo(f"{DIRECTORY}/{name}" if name else DIRECTORY)
        info.type, info.mode, info.linkname, info.size = kind, mode, link, len(data)
        info.uid, info.gid = owner
        info.devmajor, info.devminor = device
        info.mtime = int(mtime.partition(".")[0])
        headers = {"mtime": mtime} if "." in mtime else {}
        for key, value in (xattrs or {}).items():
            headers[f"SCHILY.xattr.{key}"] = value.decode("utf-8", "surrogateescape")
        info.pax_headers = headers
        self._tar.addfile(info, io.BytesIO(data))

    def directory(self, name: str, *, mode: int = 0o755, **more: object) -> None:
        """Add a directory."""
        self.add(name, tarfile.DIRTYPE, mode=mode, **more)  # type: ignore[arg-type]

    def file(self, name: str, data: bytes, **more: object) -> None:
        """Add a regular file."""
        self.add(name, tarfile.REGTYPE, data=data, **more)  # type: ignore[arg-type]

    def symlink(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self.add(name, tarfile.SYMTYPE, link=target, mode=0o777)

    def hard_link(self, name: str, target: str) -> None:
        """Add a hard link to another specimen."""
        self.add(name, tarfile.LNKTYPE, link=f"{DIRECTORY}/{target}")


def big_file() -> bytes:
    """Return content that spans several chunks: noise, a long run of zeros, noise."""
    noise = random.Random(20)
    head, tail = noise.randbytes(5 << 20), noise.randbytes(1 << 20)
    return head + bytes(BIG_FILE_BYTES - len(head) - len(tail)) + tail


def fill_specimens(tar: tarfile.TarFile, *, program: bytes) -> None:
    """Add the layer with one of everything; `program` becomes the executables."""
    specimens = SpecimenTar(tar)
    specimens.directory("")
    _add_contents(specimens)
    _add_links(specimens)
    _add_modes(specimens, program)
    _add_xattrs(specimens, program)
    _add_nodes(specimens)
    _add_names(specimens)
    _add_times_and_owners(specimens)
    _add_victims(specimens)


def fill_changes(tar: tarfile.TarFile) -> None:
    """Add the layer that hides and replaces things of the layer below."""
    changes = SpecimenTar(tar)
    changes.directory("")
    changes.file(".wh.doomed-file", b"")
    changes.file(".wh.doomed-dir", b"")
    changes.directory("nested")
    changes.file("nested/.wh.doomed", b"")
    changes.file("nested/fresh", b"from the upper layer\n")
    changes.directory("opaque")
    changes.file("opaque/.wh..wh..opq", b"")
    changes.file("opaque/fresh", b"only this is left\n")
    changes.directory("opaque/kept", mode=0o750)
    changes.file("dir-then-file", b"a file now\n")
    changes.directory("file-then-dir")
    changes.file("file-then-dir/inside", b"a directory now\n")
    changes.symlink("file-then-symlink", "modes/plain")
    changes.file("rewritten", b"second version\n", mode=0o600, owner=(7, 8))


def _add_contents(specimens: SpecimenTar) -> None:
    specimens.directory("content")
    specimens.file("content/empty", b"")
    specimens.file("content/one-byte", b"x")
    specimens.file("content/big", big_file())
    specimens.file("content/zeros", bytes(300_000))
    specimens.file("content/one-block", random.Random(21).randbytes(4096))
    specimens.directory("content/empty-dir")
    specimens.file("./content/dotted", b"an unclean name\n")


def _add_links(specimens: SpecimenTar) -> None:
    specimens.directory("links")
    specimens.directory("links/elsewhere")
    specimens.file("links/original", b"one inode, three names\n", xattrs={"user.shared": b"yes"})
    specimens.hard_link("links/second", "links/original")
    specimens.hard_link("links/elsewhere/third", "links/original")
    specimens.symlink("links/relative", "../content/one-byte")
    specimens.symlink("links/absolute", "/usr/bin/python3")
    specimens.symlink("links/dangling", "no/such/file")
    specimens.symlink("links/long", "/".join(["component"] * 30))
    specimens.symlink("links/directory", "elsewhere")


def _add_modes(specimens: SpecimenTar, program: bytes) -> None:
    specimens.directory("modes")
    specimens.file("modes/plain", b"plain\n")
    specimens.file("modes/none", b"nobody reads this\n", mode=0)
    specimens.file("modes/setuid", program, mode=0o4755)
    specimens.file("modes/setgid", program, mode=0o2755)
    specimens.file("modes/all", program, mode=0o7777)
    specimens.directory("modes/sticky", mode=0o1777)
    specimens.directory("modes/setgid-dir", mode=0o2775)


def _add_xattrs(specimens: SpecimenTar, program: bytes) -> None:
    version, permitted = _VFS_CAP_REVISION_2 | _VFS_CAP_EFFECTIVE, 1 << _CAP_NET_RAW
    capability = struct.pack("<IIIII", version, permitted, 0, 0, 0)
    specimens.directory("xattrs", xattrs={"user.on-directory": b"yes"})
    specimens.file("xattrs/text", b"text\n", xattrs={"user.name": b"value", "user.other": b"more"})
    specimens.file("xattrs/binary", b"binary\n", xattrs={"user.bytes": bytes(range(256))})
    specimens.file(
        "xattrs/capable", program, mode=0o755, xattrs={"security.capability": capability}
    )
    specimens.file("xattrs/trusted", b"trusted\n", xattrs={"trusted.note": b"for root only"})


def _add_nodes(specimens: SpecimenTar) -> None:
    specimens.directory("nodes")
    specimens.add("nodes/null", tarfile.CHRTYPE, device=(1, 3), mode=0o666)
    specimens.add("nodes/loop", tarfile.BLKTYPE, device=(7, 1234), mode=0o660)
    specimens.add("nodes/pipe", tarfile.FIFOTYPE, mode=0o600)


def _add_names(specimens: SpecimenTar) -> None:
    specimens.directory("names")
    for name in (
        "with space",
        "tab\there",
        "new\nline",
        "quote\"'\\",
        "grüße-日本語-🐍",
        "-dash",
        ".dot",
    ):
        specimens.file(f"names/{name}", name.encode())
    specimens.file(f"names/{'l' * 120}", b"over 100\n")
    specimens.file(f"names/{'x' * 255}", b"as long as a name can be\n")
    specimens.directory(f"names/{'d' * 200}")
    specimens.file(f"names/{'d' * 200}/{'f' * 200}", b"a path over 255\n")
    for level in range(1, _DEEP_LEVELS + 1):
        specimens.directory("names/" + "/".join(["deep"] * level))
    specimens.file("names/" + "/".join(["deep"] * _DEEP_LEVELS) + "/bottom", b"found\n")


def _add_times_and_owners(specimens: SpecimenTar) -> None:
    specimens.directory("times", mtime="86400")
    specimens.file("times/1970", b"", mtime="0")
    specimens.file("times/sub-second", b"", mtime=f"{EPOCH}.123456789")
    specimens.file("times/far-future", b"", mtime=str(_FAR_FUTURE))
    specimens.directory("owners", owner=(1000, 1000))
    specimens.file("owners/user", b"", owner=(1000, 100))
    specimens.file("owners/large", b"", owner=(_BEYOND_USTAR, _BEYOND_USTAR + 1))


def _add_victims(specimens: SpecimenTar) -> None:
    specimens.file("doomed-file", b"must not be seen\n")
    specimens.directory("doomed-dir")
    specimens.file("doomed-dir/inside", b"must not be seen\n")
    specimens.directory("nested")
    specimens.file("nested/doomed", b"must not be seen\n")
    specimens.file("nested/survivor", b"still here\n")
    specimens.directory("opaque")
    specimens.file("opaque/hidden", b"must not be seen\n")
    specimens.directory("opaque/kept")
    specimens.file("opaque/kept/hidden", b"must not be seen\n")
    specimens.directory("dir-then-file")
    specimens.file("dir-then-file/inside", b"must not be seen\n")
    specimens.file("file-then-dir", b"must not be seen\n")
    specimens.file("file-then-symlink", b"must not be seen\n")
    specimens.file("rewritten", b"first version\n")
