"""TLS: settings, contexts for services and clients, and reasons for failures.

Verification cannot be switched off. The minimum version is TLS 1.2.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dragon.errors import SettingsError
from dragon.net.causes import find_cause
from dragon.net.deadlines import DeadlineSocket, TlsServerSocket, TlsSocket
from dragon.net.tls_names import CA, CERTFILE, KEYFILE


@dataclass(frozen=True, slots=True)
class Tls:
    """A service's TLS settings. Without certificate and key it serves plain HTTP."""

    certfile: Path | None = None  # the service's certificate and the intermediate ones
    keyfile: Path | None = None
    ca: Path | None = None  # authorities that the service's clients trust; None for the system's


PLAIN: Final = Tls()


class _Context(ssl.SSLContext):
    """Wraps a `DeadlineSocket` so that the TLS socket keeps its deadline."""

    def wrap_socket(  # noqa: PLR0917 - the library's signature
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        wrapped = super().wrap_socket(
            sock,
            server_side=server_side,
            do_handshake_on_connect=False,  # the deadline has to be set first; the library drops it
            suppress_ragged_eofs=suppress_ragged_eofs,
            server_hostname=server_hostname,
            session=session,
        )
        if isinstance(wrapped, DeadlineSocket) and isinstance(sock, DeadlineSocket):
            wrapped.inherit(sock)
        if do_handshake_on_connect:
            try:
                wrapped.do_handshake()
            except (OSError, ValueError):
                wrapped.close()
                raise
        return wrapped


def client_context(ca: Path | None = None, *, with_system: bool = False) -> ssl.SSLContext:
    """Make the TLS context of a client, for HTTPS and `wss`. It checks the host name.

    Args:
        ca: file with the only certificate authorities to trust; None for the system's.
        with_system: trust the system's authorities, too.

    Raises:
        SettingsError: `ca` cannot be used.
    """
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is None or with_system:
        context.load_default_certs()
    if ca is None:
        return context
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError:
        raise SettingsError(f"{CA}: {ca} contains no PEM certificate", setting=CA) from None
    except OSError as error:
        raise _unreadable(CA, ca, error) from None
    return context


def server_context(tls: Tls) -> ssl.SSLContext | None:
    """Make the TLS context of a service; None if it serves plain HTTP.

    Raises:
        SettingsError: the certificate or the key cannot be used, or they do not match.
    """
    certfile, keyfile = tls.certfile, tls.keyfile
    if certfile is None or keyfile is None:
        return None
    _check_readable(CERTFILE, certfile)
    _check_readable(KEYFILE, keyfile)
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = TlsServerSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0  # clients of this project do not resume sessions
    try:
        context.load_cert_chain(certfile, keyfile, password=_refuse_password)
    except (OSError, ValueError) as error:
        raise _pair_error(certfile, keyfile, error) from None
    return context


def _refuse_password() -> str:
    """Refuse keys with a password. OpenSSL would ask for it on the terminal and block."""
    raise ValueError("the key is protected by a password")


def _pair_error(certfile: Path, keyfile: Path, error: Exception) -> SettingsError:
    """The error that names the faulty file, which the library does not."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certfile)
    except ssl.SSLError:
        message = f"{CERTFILE}: {certfile} contains no PEM certificate"
        return SettingsError(message, setting=CERTFILE)
    reason = getattr(error, "reason", "") or ""
    what = "contains no PEM private key without a password"
    if "MISMATCH" in reason:
        what = f"is not the key of the certificate in {certfile}"
    return SettingsError(f"{KEYFILE}: {keyfile} {what}", setting=KEYFILE)


def _check_readable(setting: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise _unreadable(setting, path, error) from None


def _unreadable(setting: str, path: Path, error: OSError) -> SettingsError:
    return SettingsError(f"{setting}: {path} cannot be read: {error.strerror}", setting=setting)


UNTRUSTED: Final = "its certificate is not trusted"
NO_TLS: Final = "it does not support TLS 1.2 or later"
_CERTIFICATE: Final = {
    9: "its certificate is not valid yet",  # X509_V_ERR_CERT_NOT_YET_VALID
    10: "its certificate has expired",  # X509_V_ERR_CERT_HAS_EXPIRED
    62: "its certificate is for another name",  # X509_V_ERR_HOSTNAME_MISMATCH
    64: "its certificate is for another address",  # X509_V_ERR_IP_ADDRESS_MISMATCH
}


def certificate_expires(connection: ssl.SSLSocket) -> int | None:
    """When the peer's certificate expires (Unix seconds); None if it has shown none."""
    found = (connection.getpeercert() or {}).get("notAfter")
    return int(ssl.cert_time_to_seconds(found)) if isinstance(found, str) else None


def tls_failure_reason(error: BaseException) -> str | None:
    """Say what was wrong with a peer's certificate or TLS; None if the error has another cause."""
    match find_cause(error, ssl.SSLError):
        case ssl.SSLCertVerificationError() as refused:
            return _CERTIFICATE.get(refused.verify_code, UNTRUSTED)
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError() | None:
            return None  # the peer closed the connection
        case _:
            return NO_TLS
