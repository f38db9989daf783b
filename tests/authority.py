"""A private certificate authority, for servers and clients of tests: real keys, made by openssl."""

import subprocess
from pathlib import Path


class Authority:
    """Signs certificates; keeps everything in one directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self._directory = directory
        self.certificate = directory / "ca.crt"
        self._key = directory / "ca.key"
        _openssl("req", "-x509", *_new_key(self._key), "-days", "2", "-subj", "/CN=test CA", "-out", self.certificate)  # fmt: skip

    def issue(self, name: str, *, hosts: tuple[str, ...] = ("IP:127.0.0.1", "DNS:localhost")) -> tuple[Path, Path]:  # fmt: skip
        """A certificate and its key: for a server at these addresses, and for a client of this name."""
        certificate, key, request = (self._directory / f"{name}.{end}" for end in ("cert", "key", "csr"))  # fmt: skip
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName = {', '.join(hosts)}\n")
        _openssl("req", *_new_key(key), "-subj", f"/CN={name}", "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate)  # fmt: skip
        return certificate, key


def _new_key(path: Path) -> tuple[str | Path, ...]:
    return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=20)
