"""Markdown of strangers: what is shown, and what never is."""

from __future__ import annotations

import time
import tracemalloc
from html.parser import HTMLParser

import pytest
from hostile import SCRIPTS, SQL

from heed.web.markdown import LONGEST, TAGS, to_html

REL = 'target="_blank" rel="noopener nofollow noreferrer"'


def test_common_markdown_is_rendered() -> None:
    html = to_html("# Head\n\n*a* **b** ~~c~~ `d`\n\n1. one\n\n> said\n\n```py\nx < 1\n```")
    for part in ("<h1>Head</h1>", "<em>a</em>", "<strong>b</strong>", "<s>c</s>", "<code>d</code>",
                 "<li>one</li>", "<blockquote>", "<pre><code>x &lt; 1\n</code></pre>"):  # fmt: skip
        assert part in html
    table = to_html("| a | b |\n|---|--:|\n| 1 | 2 |")
    assert "<th>a</th>" in table
    assert "<td>2</td>" in table
    assert "style" not in table


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ('[x](http://a.b "t")', f'<a href="http://a.b" title="t" {REL}>x</a>'),
        ("<https://a.b>", f'<a href="https://a.b" {REL}>https://a.b</a>'),
        ("![alt](http://a.b/c.png)", f'<a href="http://a.b/c.png" {REL}>alt</a>'),
        ("![](http://a.b/c.png)", f'<a href="http://a.b/c.png" {REL}>http://a.b/c.png</a>'),
        ("![alt][1]\n\n[1]: http://a.b/c.png", f'<a href="http://a.b/c.png" {REL}>alt</a>'),
        ("[![in](http://e/i.png)](http://h/)", f'<a href="http://h/" {REL}>in</a>'),
        ("[here](/logout)", f"<a {REL}>here</a>"),
        ("[there](//evil.example)", f"<a {REL}>there</a>"),
        ("[x](javascript:stolen())", "[x](javascript:stolen())"),
        ("<b onclick=stolen()>", "&lt;b onclick=stolen()&gt;"),
    ],
)
def test_links_and_images(text: str, html: str) -> None:
    assert to_html(text).strip() == f"<p>{html}</p>"


@pytest.mark.parametrize(
    "formula",
    [
        "$a*b*c$", "$$x_1 * y_1 *\nz$$", r"\(a*b*c\)", r"\[ \frac{a}{b} * c * d \]",
        "$x$", r"$\alpha_{1}$", r"$a \$ b$",
    ],
)  # fmt: skip
def test_formulas_stay_as_they_are(formula: str) -> None:
    assert to_html(f"So {formula} *holds*.") == f"<p>So {formula} <em>holds</em>.</p>\n"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("$5 and *$6*", "$5 and <em>$6</em>"),
        ("$ a* $ b*", "$ a* $ b*"),
        ("$a*b*", "$a<em>b</em>"),
        (r"\(*a*", "(<em>a</em>"),
        ("`$a$`", "<code>$a$</code>"),
    ],
)
def test_what_is_no_formula_is_read_as_ever(text: str, html: str) -> None:
    assert to_html(text) == f"<p>{html}</p>\n"


class Seen(HTMLParser):
    """Every tag and attribute of a text, as a parser sees them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]


ATTRIBUTES = {("a", "href"), ("a", "title"), ("a", "rel"), ("a", "target"), ("ol", "start")}
PLACES = (
    "{}",
    "a {} b",
    "- {}",
    "| {0} |\n|---|\n| {0} |",
    "[{}](http://a.b)",
    "![{}](http://a.b)",
)


@pytest.mark.parametrize("place", PLACES)
def test_nothing_hostile_comes_through(place: str) -> None:
    for text in [*SCRIPTS, *SQL]:
        seen = Seen(to_html(place.format(text)))
        assert seen.tags <= TAGS, text
        assert {(tag, name) for tag, name, _ in seen.attributes} <= ATTRIBUTES, text
        for _, name, value in seen.attributes:
            if name == "href":
                assert value.startswith(("http://", "https://", "mailto:")), text


@pytest.mark.parametrize(
    "part",
    ["[", "`", "[a](", "![", "$a ", "\\(", "\\[", "(((", "a|b\n-|-\n", "*_", "![a](b)", "> ", "a\n",
     "$$a", "<http:", "- ", "&amp;"],
)  # fmt: skip
def test_no_text_takes_long(part: str) -> None:
    begun = time.process_time()
    to_html((part * LONGEST)[: LONGEST // 2])
    assert time.process_time() - begun < 3  # a third of a second on a slow core


def test_a_very_long_text_is_shown_as_it_stands() -> None:
    text = "<b>*x*</b>" * LONGEST
    assert to_html(text).startswith("<pre>&lt;b&gt;*x*&lt;/b&gt;&lt;b&gt;")


def test_very_long_texts_are_not_kept_in_memory() -> None:
    tracemalloc.start()
    try:
        for at in range(20):
            to_html(f"{at} " + "x<" * 100_000)
        assert tracemalloc.get_traced_memory()[0] < 2e6  # of 10 MB
    finally:
        tracemalloc.stop()
