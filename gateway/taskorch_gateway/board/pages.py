"""The templates of the board, and how values become HTML.

Every value is escaped, and a value that a template names must exist.
"""

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from taskorch_gateway.board import asset_files, formats


def render(template: str, values: Mapping[str, object]) -> str:
    """Return a page, or a part of one such as "now/agents.html"."""
    return _TEMPLATES.get_template(template).render(values)


def template(name: str) -> Template:
    """Return a template, compiled."""
    return _TEMPLATES.get_template(name)


def _environment() -> Environment:
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


_TEMPLATES = _environment()
