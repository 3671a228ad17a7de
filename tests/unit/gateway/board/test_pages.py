"""The templates of the board: they compile, escape, and name only what exists."""

import asyncio
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from support.commands import eventually, state_of
from taskorch_gateway import board
from taskorch_gateway.board import asset_files, pages, template_code
from taskorch_gateway.board.pages import render

FOLDER = Path(board.__path__[0])
TEMPLATES = sorted(
    file.relative_to(FOLDER / "templates").as_posix()
    for file in (FOLDER / "templates").rglob("*.html")
)
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.mark.parametrize("template", TEMPLATES)
def test_template_compiles(template: str) -> None:
    assert pages.template(template)


@pytest.mark.parametrize("template", TEMPLATES)
def test_template_has_no_inline_code(template: str) -> None:
    source = (FOLDER / "templates" / template).read_text(encoding="utf-8")
    text = re.sub(r"\{[{%#].*?[}%#]\}", "", source, flags=re.DOTALL)

    assert not re.search(r"\son[a-z]+=|\sstyle=|<style|javascript:", text)
    assert not re.search(r"<script(?! src=)", text)
    assert "|safe" not in source.replace(" ", "")


def test_hostile_text_stays_text() -> None:
    shown = render("receipt.html", {"text": HOSTILE, "next": HOSTILE})

    assert "<script" not in shown
    assert "<img" not in shown
    assert shown.count('"') == 2


def test_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("receipt.html", {"next": ""})


def test_assets_are_small() -> None:
    sizes = {
        name: len(asset.content) for name, asset in asset_files.ASSETS.items()
    }

    assert sizes["board.js"] < 40_000
    assert sizes["board.css"] < 40_000


def test_code_of_another_process_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = template_code.compiled()
    templates = template_code.environment(template_code.KnownCode(code))
    monkeypatch.setattr(templates, "compile", None)

    for template in TEMPLATES:
        assert templates.get_template(template)

    assert code == {}


def test_damaged_code_is_compiled_again() -> None:
    code = dict.fromkeys(template_code.compiled(), b"damaged")
    templates = template_code.environment(template_code.KnownCode(code))

    shown = templates.get_template("receipt.html").render(text="Done", next="")

    assert "Done" in shown


@pytest.mark.parametrize(
    "compiler", [("-c", "raise SystemExit(1)"), ("-c", "print('no code')")]
)
def test_page_is_shown_without_the_compiler(
    monkeypatch: pytest.MonkeyPatch, compiler: tuple[str, ...]
) -> None:
    monkeypatch.setattr(pages, "COMPILER", compiler)

    asyncio.run(pages.compile_all())

    assert "Done" in render("receipt.html", {"text": "Done", "next": ""})


def test_cancelled_compiler_has_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    waits = f"import os, time; os.symlink(str(os.getpid()), {str(begun)!r}); time.sleep(600)"
    monkeypatch.setattr(pages, "COMPILER", ("-c", waits))

    async def state_after_cancellation() -> str:
        compiling = asyncio.create_task(pages.compile_all())
        await asyncio.to_thread(eventually, begun.is_symlink)
        compiling.cancel()
        await asyncio.wait([compiling])
        return state_of(int(begun.readlink().name))

    # nor is it a zombie, whose end asyncio would report
    assert asyncio.run(state_after_cancellation()) == ""
