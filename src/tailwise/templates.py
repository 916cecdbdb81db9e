"""HTML from Jinja templates, which lie beside the package that fills them."""

from functools import cache

from jinja2 import (
    ChoiceLoader,
    Environment,
    PackageLoader,
    StrictUndefined,
    select_autoescape,
)


@cache
def _environment(*packages: str) -> Environment:
    loader = ChoiceLoader([PackageLoader(package) for package in packages])
    return Environment(
        loader=loader,
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def render(name: str, /, *packages: str, **values) -> str:
    """Fill a template, from the folders ``templates`` of packages.

    In HTML the values are escaped; one that is missing is an error.
    """
    return _environment(*packages).get_template(name).render(values)
