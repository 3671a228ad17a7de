"""Codex, the real program, with a scripted model."""

from programs.checkout import Checkout, run_program
from programs.model_server import (
    ModelServer,
    ScriptedModel,
    call,
    say,
    steps,
)

PROGRAM = "codex"
CONFIG = """\
model = "scripted"
model_provider = "scripted"

[model_providers.scripted]
name = "scripted"
base_url = "{url}/v1"
env_key = "SCRIPTED_KEY"
wire_api = "responses"
"""


def codex(checkout: Checkout, model: ModelServer) -> Checkout:
    """Return a shell in which Codex uses the scripted model alone."""
    folder = checkout.home / ".codex"
    folder.mkdir()
    config = CONFIG.format(url=model.url)
    (folder / "config.toml").write_text(config, encoding="utf-8")
    return checkout.having(SCRIPTED_KEY="of-no-value")


def test_text_ends_a_turn(checkout: Checkout, model: ScriptedModel) -> None:
    server = model(
        steps(call("exec_command", cmd="echo hello"), say("All done."))
    )
    shell = codex(checkout, server)

    run = run_program(shell, "codex", "exec", "Say hello.")

    assert run.returncode == 0, run.stderr
    assert "hello" in server.requests[-1].results[-1]
    assert run.stdout.strip() == "All done."
