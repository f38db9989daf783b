"""TLS as an endpoint wants it: which authorities are trusted, and which certificate we show."""

import ssl
from pathlib import Path

from registry.endpoints import Connection
from registry.errors import TlsFileError


def make_context(connection: Connection) -> ssl.SSLContext:
    """The TLS context of a connection; the machine's own authorities are always trusted too. Reads files.

    Raises:
        TlsFileError: a file is missing, or holds no certificate or key.
    """
    context = ssl.create_default_context()
    for path in connection.ca_files:
        _trust(context, path)
    for pair in connection.client_certificates:
        try:
            # An encrypted key must be an error: asking for its password would block.
            context.load_cert_chain(pair.certificate, pair.key, password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            at_fault = _first_missing(pair.certificate, pair.key)
            raise TlsFileError(at_fault, "client", _reason(error)) from error
    if not connection.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _trust(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
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
