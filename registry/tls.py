"""TLS as an endpoint wants it: which authorities are trusted, and which certificate we show."""

import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path

from registry.endpoints import Connection
from registry.errors import TlsFileError


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What was read for a connection, all of it usable.

    Attributes:
        authorities: the certificates that are trusted besides the machine's own, in PEM.
        certificate: the certificate we show, of several the first: a file, or its content in PEM.
        key: its key, likewise.
        trusts_machine: whether the machine's own authorities are trusted too.
    """

    authorities: bytes = field(default=b"", repr=False)
    certificate: Path | bytes | None = field(default=None, repr=False)
    key: Path | bytes | None = field(default=None, repr=False)
    trusts_machine: bool = True


def load_tls(connection: Connection) -> TlsFiles:
    """Reads what a connection names.

    Raises:
        TlsFileError: a file is missing, or holds no certificate or key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authorities = [_read_authority(context, path) for path in connection.ca_files]
    for pair in connection.client_certificates:
        try:
            # An encrypted key must be an error: asking for its password would block.
            context.load_cert_chain(pair.certificate, pair.key, password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            at_fault = _first_missing(pair.certificate, pair.key)
            raise TlsFileError(at_fault, "client", _reason(error)) from error
    shown = TlsFiles()
    for pair in connection.client_certificates[:1]:
        shown = TlsFiles(certificate=pair.certificate, key=pair.key or pair.certificate)
    return replace(shown, authorities=b"\n".join(authorities))


def _read_authority(context: ssl.SSLContext, path: Path) -> bytes:
    try:
        context.load_verify_locations(cafile=path)
        return path.read_bytes()
    except OSError as error:
        raise TlsFileError(path, "ca", _reason(error)) from error


def _no_password() -> str:
    raise ValueError("its key is encrypted")


def _first_missing(certificate: Path, key: Path | None) -> Path:
    return key if key is not None and certificate.exists() else certificate


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "it holds no usable certificate or key in PEM"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
