"""Transport encryption: what a service shows, whom a client believes, and sockets for both.

Nothing here can be told not to verify. TLS 1.2 at least; 1.3 wherever both sides have it.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dragon.errors import SettingsError
from dragon.net.deadlines import DeadlineSocket, TlsServerSocket, TlsSocket

CERTFILE: Final = "DRAGON_TLS_CERTFILE"
KEYFILE: Final = "DRAGON_TLS_KEYFILE"
CA: Final = "DRAGON_TLS_CA"


@dataclass(frozen=True, slots=True)
class Tls:
    """What a service is told about it: nothing, and it serves plain HTTP."""

    certfile: Path | None = None  # its certificate, and those between it and the authority's
    keyfile: Path | None = None
    ca: Path | None = None  # whom its clients believe; the system's authorities if None


PLAIN: Final = Tls()


class _Context(ssl.SSLContext):
    """Turns a `DeadlineSocket` into one that speaks TLS and goes on with the same deadline."""

    def wrap_socket(  # noqa: PLR0917 - as the library has it
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
            do_handshake_on_connect=False,  # it has to know the deadline, which the library drops
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


def client_context(ca: Path | None = None) -> ssl.SSLContext:
    """Believes the authorities in `ca` and no other, or the system's; checks the host's name.

    For any client, `wss` as well. Raises SettingsError: `ca` cannot be used.
    """
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError:
        raise SettingsError(f"{CA}: {ca} holds no certificate in PEM", setting=CA) from None
    except OSError as error:
        raise _unreadable(CA, ca, error) from None
    return context


def server_context(tls: Tls) -> ssl.SSLContext | None:
    """What a service wraps its connections with; None where it serves plain HTTP.

    Raises SettingsError: certificate or key is missing, or they do not belong together.
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
    context.num_tickets = 0  # our clients do not come back on a session
    try:
        context.load_cert_chain(certfile, keyfile, password=_refuse_password)
    except (OSError, ValueError) as error:
        raise _unfit(certfile, keyfile, error) from None
    return context


def _refuse_password() -> str:
    """Else OpenSSL would ask for it on the terminal, and a service would wait for ever."""
    raise ValueError("the key is under a password")


def _unfit(certfile: Path, keyfile: Path, error: Exception) -> SettingsError:
    """Whose fault it is: the library names neither file."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certfile)
    except ssl.SSLError:
        message = f"{CERTFILE}: {certfile} holds no certificate in PEM"
        return SettingsError(message, setting=CERTFILE)
    reason = getattr(error, "reason", "") or ""
    what = "holds no private key in PEM that can be used without a password"
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


_CERTIFICATE: Final = {
    9: "its certificate is not valid yet",  # X509_V_ERR_CERT_NOT_YET_VALID
    10: "its certificate has expired",  # X509_V_ERR_CERT_HAS_EXPIRED
    62: "its certificate is for another name",  # X509_V_ERR_HOSTNAME_MISMATCH
    64: "its certificate is for another address",  # X509_V_ERR_IP_ADDRESS_MISMATCH
}


def tls_failure_reason(error: BaseException) -> str | None:
    """What was wrong with a peer's certificate, or with its TLS; None if it was neither."""
    match _ssl_error(error):
        case ssl.SSLCertVerificationError() as refused:
            return _CERTIFICATE.get(refused.verify_code, "its certificate is not trusted")
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError() | None:
            return None  # it hung up
        case _:
            return "it speaks no TLS that we do"


def _ssl_error(error: BaseException) -> ssl.SSLError | None:
    """The libraries wrap errors in errors: as causes, contexts, reasons or arguments."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop()
        if isinstance(found, ssl.SSLError):
            return found
        if isinstance(found, BaseException) and id(found) not in seen:
            seen.add(id(found))
            waiting += [*found.args, getattr(found, "reason", None)]
            waiting += [found.__context__, found.__cause__]
    return None
