"""The `gateway` command, which starts what stands on top of this package."""

import click
from taskorch.cli import app

from taskorch_orchestrator.commands import gateway_module
from taskorch_orchestrator.commands.listen import Listen
from taskorch_orchestrator.group import orchestrate


@orchestrate.command(
    epilog="Example: orchestrate gateway --listen 127.0.0.1:8650"
)
@click.option(
    "--listen",
    type=Listen(),
    metavar="HOST:PORT",
    default="127.0.0.1:8650",
    show_default=True,
    help="Address to listen on.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Number of processes.",
)
@click.option(
    "--tls-cert",
    type=click.Path(exists=True, dir_okay=False),
    help="Certificate of this host, as a PEM file, with those that signed it.",
)
@click.option(
    "--tls-key",
    type=click.Path(exists=True, dir_okay=False),
    help="Private key of the certificate, as a PEM file.",
)
@click.option(
    "--host-name",
    "host_names",
    multiple=True,
    metavar="NAME",
    help="Name by which clients reach the gateway; may be repeated. Others are refused.",
)
@click.option(
    "--rate",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    metavar="CALLS",
    help="Maximum number of calls a second of one access token; 0 for any number.",
)
@click.option(
    "--metrics-open",
    is_flag=True,
    help="Show /metrics to clients without an access token, too.",
)
def gateway(
    listen: tuple[str, int],
    workers: int,
    tls_cert: str | None,
    tls_key: str | None,
    host_names: tuple[str, ...],
    rate: int,
    metrics_open: bool,
) -> None:
    """Serve the queue over HTTP, to clients that show an access token.

    Runs until SIGTERM or Ctrl-C. Needs the extra gateway: see orchestrate docs gateway.
    """
    if bool(tls_cert) != bool(tls_key):
        raise click.UsageError("--tls-cert and --tls-key need each other.")
    server = gateway_module.load("server")
    host, port = listen
    listener = server.Listener(
        host=host,
        port=port,
        workers=workers,
        certificate=tls_cert or "",
        key=tls_key or "",
        host_names=host_names,
        calls_per_second=rate,
        metrics_are_open=metrics_open,
    )
    server.serve(app.settings(), listener)
