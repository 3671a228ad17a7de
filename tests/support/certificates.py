"""A certificate of a server, and the authority that signed it."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Issued:
    """What a server with TLS needs, and the file that makes a client trust it."""

    context: ssl.SSLContext
    authority: Path


def issue(folder: Path, *hosts: str) -> Issued:
    """Issue a certificate for hosts; the file of its authority is in the folder."""
    authority, file = trustme.CA(), folder / "authority.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*hosts).configure_cert(context)
    authority.cert_pem.write_to_path(str(file))
    return Issued(context, file)
