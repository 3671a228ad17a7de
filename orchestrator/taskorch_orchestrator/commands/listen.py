"""The address that a server of ours listens on, as an option."""

import click


class Listen(click.ParamType[tuple[str, int]]):
    """A host and a port, such as 127.0.0.1:8650 or [::1]:8650."""

    name = "address"

    def convert(
        self,
        value: str | tuple[str, int],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, int]:
        """Return the host, without brackets, and the port."""
        if isinstance(value, tuple):
            return value
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or not int(port) < 2**16:
            self.fail(f"{value!r} is not HOST:PORT.", param, ctx)
        return host.strip("[]"), int(port)
