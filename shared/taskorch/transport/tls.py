"""A socket -> the same with TLS: whom it trusts, and who it says it is."""

import ssl
from collections.abc import Mapping
from socket import socket

FALSE = ("0", "f", "false", "n", "no")


def context(options: Mapping[str, str]) -> ssl.SSLContext:
    """Return what the options of an address ask for, by redis-py's names. Raises OSError for bad files."""
    made = ssl.create_default_context(
        cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path")
    )
    wanted = options.get("ssl_cert_reqs", "required")
    made.check_hostname = (
        wanted != "none"
        and options.get("ssl_check_hostname", "yes").lower() not in FALSE
    )
    made.verify_mode = ssl.VerifyMode[f"CERT_{wanted.upper()}"]
    if "ssl_certfile" in options or "ssl_keyfile" in options:
        files = (options.get("ssl_certfile", ""), options.get("ssl_keyfile"))
        made.load_cert_chain(*files, password=options.get("ssl_password"))
    return made


def wrapped(opened: socket, host: str, options: Mapping[str, str]) -> ssl.SSLSocket:
    """Shake hands on an open socket, which is closed when that fails. Raises OSError."""
    try:
        return context(options).wrap_socket(opened, server_hostname=host)
    except BaseException:
        opened.close()
        raise
