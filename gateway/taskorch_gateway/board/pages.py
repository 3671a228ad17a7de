"""The templates of the board, and how values become HTML.

Every value is escaped, and a value that a template names must exist.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from taskorch_gateway.board import asset_files, formats

if TYPE_CHECKING:
    from jinja2 import Environment, Template


def render(template: str, values: Mapping[str, object]) -> str:
    """Return a page, or a part of one such as "now/agents.html"."""
    return _templates().get_template(template).render(values)


def template(name: str) -> "Template":
    """Return a template, compiled."""
    return _templates().get_template(name)


def compile_all() -> None:
    """Compile all templates, so that the first page of each kind takes no longer."""
    templates = _templates()
    for name in templates.list_templates():
        templates.get_template(name)


@cache
def _templates() -> "Environment":
    """Return the templates. A gateway without a board saves 3 MB for jinja2."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("taskorch_gateway.board"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=formats.visible,
        auto_reload=False,
        cache_size=-1,
    )
    templates.filters.update(formats.FILTERS)
    templates.globals["asset"] = asset_files.address
    return templates
