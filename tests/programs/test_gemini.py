"""Gemini CLI, the real program, with a scripted model."""

from programs.checkout import Checkout, run_program
from programs.model_server import (
    ModelServer,
    ScriptedModel,
    call,
    say,
    steps,
)

PROGRAM = "gemini"
SETTINGS = '{"security": {"auth": {"selectedType": "gemini-api-key"}}}'


def gemini(checkout: Checkout, model: ModelServer) -> Checkout:
    """Return a shell in which Gemini CLI uses the scripted model alone."""
    folder = checkout.home / ".gemini"
    folder.mkdir()
    (folder / "settings.json").write_text(SETTINGS, encoding="utf-8")
    return checkout.having(
        GOOGLE_GEMINI_BASE_URL=model.url,
        GEMINI_API_KEY="of-no-value",
        GEMINI_CLI_TRUST_WORKSPACE="true",
    )


def test_text_ends_a_turn(checkout: Checkout, model: ScriptedModel) -> None:
    server = model(
        steps(
            call("run_shell_command", command="echo hello"), say("All done.")
        )
    )
    shell = gemini(checkout, server)

    run = run_program(
        shell, "gemini", "-m", "gemini-2.5-flash", "--yolo", "-p", "Say hello."
    )

    assert run.returncode == 0, run.stderr
    assert "hello" in server.requests[-1].results[-1]
    assert run.stdout.strip() == "All done."
