"""The cookies of the board: the session, the theme, and what the next page shows once.

That is the receipt of the last action, or the secret of a new access token.

The session is the access token itself, so the gateway keeps no sessions: any number of
processes serve a board, and a revoked token ends it like any client.
"""

from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response

THEME = "taskorch_theme"
THEMES = ("light", "dark")
YEAR_S = 365 * 24 * 3600
#: How long a receipt waits for the page that shows it, and its longest text.
RECEIPT_S = 60
RECEIPT_CHARACTERS = 300


def token_of(request: Request) -> str:
    """Return the access token of a session, "" for none."""
    return _value(request, _name("session", request))


def set_token(response: Response, request: Request, token: str) -> None:
    """Begin a session; it ends with the browser, or with the token."""
    _set(response, request, _name("session", request), token)


def drop_token(response: Response, request: Request) -> None:
    """End a session."""
    _drop(response, request, _name("session", request))


def receipt_of(request: Request) -> str:
    """Return what the page says about the last action, "" for nothing."""
    return unquote(_value(request, _name("receipt", request)))


def set_receipt(response: Response, request: Request, text: str) -> None:
    """Let the next page say something about the last action."""
    if len(text) > RECEIPT_CHARACTERS:
        text = text[:RECEIPT_CHARACTERS] + "…"
    name = _name("receipt", request)
    _set(response, request, name, quote(text, safe=""), RECEIPT_S)


def drop_receipt(response: Response, request: Request) -> None:
    """Let no further page say something about the last action."""
    _drop(response, request, _name("receipt", request))


def set_link_session(response: Response, request: Request, id_: str) -> None:
    """Note the token of a session that a sign-in link began: it ends with the session."""
    _set(response, request, _name("link", request), id_)


def is_link_session(request: Request, id_: str) -> bool:
    """Return whether a sign-in link has made the token of a session."""
    return _value(request, _name("link", request)) == id_


def drop_link_session(response: Response, request: Request) -> None:
    """Forget the token that a sign-in link has made."""
    _drop(response, request, _name("link", request))


def secret_of(request: Request) -> str:
    """Return the new access token that the page shows, "" for none."""
    return _value(request, _name("secret", request))


def set_secret(response: Response, request: Request, token: str) -> None:
    """Let the next page show a new access token; a reload of it does not."""
    _set(response, request, _name("secret", request), token, RECEIPT_S)


def drop_secret(response: Response, request: Request) -> None:
    """Let no further page show the new access token."""
    _drop(response, request, _name("secret", request))


def theme_of(request: Request) -> str:
    """Return the theme that was chosen, "" for that of the system."""
    theme = _value(request, THEME)
    return theme if theme in THEMES else ""


def set_theme(response: Response, request: Request, theme: str) -> None:
    """Keep the theme; the script may set it, too."""
    response.set_cookie(
        THEME,
        theme,
        max_age=YEAR_S,
        path="/",
        secure=_is_secure(request),
        samesite="strict",
    )


def _value(request: Request, name: str) -> str:
    """Return the value of a cookie, "" for none. None of ours needs quotes.

    Python's own parser takes 20 seconds for a header of 64 KiB with many quotes.
    """
    found = ""
    for header in request.headers.getlist("cookie"):
        for pair in header.split(";"):
            key, _, value = pair.partition("=")
            if key.strip() == name:
                found = value.strip()
    return found


def _set(
    response: Response,
    request: Request,
    name: str,
    value: str,
    seconds: int | None = None,
) -> None:
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )


def _drop(response: Response, request: Request, name: str) -> None:
    response.delete_cookie(
        name,
        path="/",
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )


def _name(what: str, request: Request) -> str:
    """Return the name of a cookie of this gateway.

    Browsers send the cookies of one port to all ports of a host. The prefix lets no
    other host set it.
    """
    is_secure = _is_secure(request)
    port = _port(request) or (443 if is_secure else 80)
    prefix = "__Host-" if is_secure else ""
    return f"{prefix}taskorch_{what}_{port}"


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


def _port(request: Request) -> int | None:
    try:
        return request.url.port
    except ValueError:  # one beyond 65535
        return None
