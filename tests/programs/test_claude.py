"""Claude Code, the real program, with a scripted model."""

import json

from programs.checkout import Checkout, run_program
from programs.model_server import ModelServer, ScriptedModel, call, say, steps

PROGRAM = "claude"


def claude(checkout: Checkout, model: ModelServer) -> Checkout:
    """Return a shell in which Claude Code uses the scripted model alone."""
    return checkout.having(
        ANTHROPIC_BASE_URL=model.url,
        ANTHROPIC_API_KEY="of-no-value",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
    )


def test_text_ends_a_turn(checkout: Checkout, model: ScriptedModel) -> None:
    server = model(steps(call("Bash", command="echo hello"), say("All done.")))
    shell = claude(checkout, server)

    run = run_program(
        shell,
        "claude",
        "-p",
        "Say hello.",
        "--allowedTools",
        "Bash",
        "--output-format",
        "json",
    )

    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["result"] == "All done."
    assert "hello" in server.requests[-1].results[-1]
