"""Fixtures of tests that run real agent programs, with a scripted model on loopback."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from programs.checkout import Checkout, new_checkout
from programs.installed import install
from programs.model_server import ScriptedModel, model_server


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    """Return a function that starts a scripted model, which is stopped after the test."""
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(model_server(script))


@pytest.fixture
def checkout(request: pytest.FixtureRequest) -> Iterator[Checkout]:
    """Return a checkout for the program that the module names in `PROGRAM`.

    Its queue is on the bundled server, which is stopped after the test.
    """
    programs = install(request.module.PROGRAM)
    # A socket of the bundled server needs a short path.
    folder = Path(tempfile.mkdtemp(prefix="to-"))
    checkout = new_checkout(folder, programs, {"TASKORCH_SERVICE": "off"})
    yield checkout
    checkout.orchestrate("server", "stop")
    shutil.rmtree(folder)
