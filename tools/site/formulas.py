"""Formulas as MathML: a page needs neither a script nor a network to show them.

An extension of Sphinx, which `html_math_renderer` in _config.yml chooses.
"""

import re

from docutils import nodes
from math_core import LatexError, LatexToMathML

CONVERTER = LatexToMathML(annotation=True, fancy_error=False)
# WebKit leaves room around a sign even where it is an index.
INDEX = re.compile(r"<mo>([+−±])</mo>(?=(?:<m[ino]>[^<]*</m[ino]>)?</msu(?:b|p|bsup)>)")


def mathml(tex: str, block: bool = False) -> str:
    r"""A formula in MathML, with its TeX as an annotation.

    Raises
    ------
    ValueError
        If it holds what the converter does not know.

    Examples
    --------
    >>> mathml("x")[:27]
    '<math><semantics><mi>x</mi>'
    """
    lines = r"\\" in tex and r"\begin" not in tex
    try:
        made = CONVERTER.convert_with_local_state(
            rf"\begin{{aligned}}{tex}\end{{aligned}}" if lines else tex,
            displaystyle=block,
        )
    except LatexError as error:
        raise ValueError(f"a formula cannot be shown: {tex}: {error}") from error
    return INDEX.sub(r'<mo lspace="0" rspace="0">\1</mo>', made)


def show_inline(translator, node) -> None:
    _show(translator, node, "span", block=False)


def show_block(translator, node) -> None:
    if node.get("number"):
        raise ValueError(f"a formula cannot have a number: {node.astext()}")
    _show(translator, node, "div", block=True)


def _show(translator, node, tag: str, block: bool) -> None:
    start = translator.starttag(node, tag, "", CLASS="math notranslate nohighlight")
    translator.body.append(f"{start}{mathml(node.astext(), block)}</{tag}>")
    raise nodes.SkipNode


def setup(app) -> dict:
    app.add_html_math_renderer("mathml", (show_inline, None), (show_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
