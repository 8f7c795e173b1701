"""Markdown of strangers (models, annotators, owners) as HTML that is safe to show.

Two lines of defence: markdown-it writes HTML with raw HTML switched off, and nh3 (ammonia) keeps
only a short list of tags. No answer may make the browser fetch anything, since that would tell
its author who is looking: images become links.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

LONGEST = 20_000
"""Characters; longer texts are shown as they stand. The worst known of this length, nested brackets
of links, takes about a second to render, an ordinary one some hundredths."""
LONGEST_FORMULA = 2_000
TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li",
    "ol", "p", "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
CLOSED_BY = {"$$": "$$", r"\(": r"\)", r"\[": r"\]"}
# As in pandoc: no space inside the dollars, no digit after them ("$5 and $6" is money).
DOLLARS = re.compile(rf"\$(?![\s$])(?:\\.|[^$\\\n]){{1,{LONGEST_FORMULA}}}(?<!\s)\$(?!\d)")


def to_html(text: str) -> str:
    """Sanitised HTML of a Markdown text; formulas in dollars stay as they are."""
    if len(text) > LONGEST:
        return f"<pre>{escape(text)}</pre>"
    return _rendered(text)


@lru_cache(maxsize=1024)
def _rendered(text: str) -> str:
    """Kept, since everyone who is shown a text needs it; long texts are cheap and would fill the
    memory.
    """
    return _CLEANER.clean(_MARKDOWN.render(text))


def _math(state: StateInline, silent: bool) -> bool:
    """An inline rule: a formula is plain text, whatever stars and backslashes it holds."""
    if state.src[state.pos] not in "$\\":
        return False
    end = _formula_end(state.src, state.pos, state.posMax)
    if end < 0:
        return False
    if not silent:
        state.push("text", "", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


def _formula_end(text: str, start: int, stop: int) -> int:
    """Where the formula ends that begins at `start`; -1 if none does."""
    closing = CLOSED_BY.get(text[start : start + 2])
    if closing is not None:
        found = text.find(closing, start + 2, min(stop, start + LONGEST_FORMULA))
        return found + 2 if found > start + 2 else -1
    match = DOLLARS.match(text, start, stop)
    return match.end() if match else -1


def _unlink_images(state: StateCore) -> None:
    """A core rule: an image becomes a link with its description, or that alone within a link."""
    for block in state.tokens:
        if block.type != "inline" or not block.children:
            continue
        depth, children = 0, []
        for token in block.children:
            depth += token.nesting if token.type in {"link_open", "link_close"} else 0
            children += (
                _shown_as_link(token, within=depth > 0) if token.type == "image" else [token]
            )
        block.children = children


def _shown_as_link(image: Token, *, within: bool) -> list[Token]:
    address = str(image.attrs.get("src", ""))
    text = Token("text", "", 0, content=image.content or address or "image")
    if within:
        return [text]
    return [
        Token("link_open", "a", 1, attrs={"href": address}), text, Token("link_close", "a", -1),
    ]  # fmt: skip


def _reader() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    made.inline.ruler.before("escape", "math", _math)
    made.core.ruler.push("unlink_images", _unlink_images)
    return made


_MARKDOWN = _reader()
_CLEANER = nh3.Cleaner(
    tags=TAGS,
    attributes={"a": {"href", "title"}, "ol": {"start"}},
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel="noopener nofollow noreferrer",
    set_tag_attribute_values={"a": {"target": "_blank"}},
)
