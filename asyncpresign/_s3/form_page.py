"""The HTML of an upload form: a page of its own, or a fragment for somebody's page. Text in, text out.

The form works without a script. Where scripts run, `SCRIPT` checks the file before it is sent, shows progress and says
in words what S3 answered. `STYLE` and `SCRIPT` never change with the form, whose rules are `data-` attributes of its section:
so their hashes are known, and a strict Content-Security-Policy can let them pass.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html
https://www.w3.org/TR/CSP3/
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import TypeGuard

from .._sigv4.post_policy import read_policy
from .._sigv4.signing import iso8601, utc
from ..errors import InvalidRequest, Problem, describe

# An address of another scheme would run as a script, and one with `;` or a space would write the policy's next directive.
_ADDRESS = re.compile(r"(https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?)(?:[/?].*)?", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
# What parsers and browsers replace: NUL by U+FFFD, each kind of line break by CR LF.
_CHANGED = re.compile(r"\0|\r(?!\n)|(?<!\r)\n")
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
# S3 answers 204 unless it is asked for more, and a browser then keeps the page as it is.
_NO_SCRIPT = """
    <noscript><p class="hint">When the file is stored, this page stays as it is. Else the storage says why.</p></noscript>"""
# A kind of media in words; other kinds are named as they are.
_KINDS = {"image/*": "images", "video/*": "videos", "audio/*": "sound files", "text/*": "text files"}
# What says nothing of a file's kind.
_ANYTHING = frozenset({"", "application/octet-stream", "binary/octet-stream"})

STYLE = """
.asyncpresign { --ink: #1c2127; --dim: #59636e; --paper: #fff; --line: #868e96; --soft: #f3f6f9; --accent: #0b57d0;
  --on-accent: #fff; --good: #146c2e; --bad: #b3261e; color-scheme: light dark; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; box-sizing: border-box; width: 100%; max-width: 34rem; padding: 1.5rem;
  border: 1px solid color-mix(in srgb, var(--line) 45%, transparent); border-radius: 1rem; }
@media (prefers-color-scheme: dark) { .asyncpresign { --ink: #e6e9ed; --dim: #a5b0bb; --paper: #1b1f24; --line: #79838e;
  --soft: #252b32; --accent: #a8c7fa; --on-accent: #0a2a5c; --good: #8fd6a0; --bad: #ffb4ab; } }
.asyncpresign * { box-sizing: border-box; }
.asyncpresign h1 { margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
.asyncpresign form { display: grid; gap: 1rem; margin: 0; }
.asyncpresign [hidden] { display: none; }
.asyncpresign label { display: grid; gap: .75rem; justify-items: center; padding: 2rem 1rem; text-align: center;
  background: var(--soft); border: 2px dashed var(--line); border-radius: .75rem; cursor: pointer; font-weight: 600; }
.asyncpresign label.over { border-color: var(--accent); border-style: solid; }
.asyncpresign input { max-width: 100%; min-width: 0; font: inherit; font-weight: 400; font-size: .9375rem; color: inherit; }
.asyncpresign input { field-sizing: content; }
.asyncpresign ::file-selector-button { margin-inline-end: .75rem; padding: .375rem .875rem; font: inherit; color: var(--accent);
  background: transparent; border: 1px solid var(--accent); border-radius: 1rem; cursor: pointer; }
.asyncpresign p { margin: 0; overflow-wrap: anywhere; }
.asyncpresign .hint { color: var(--dim); font-size: .875rem; }
.asyncpresign button { justify-self: start; min-height: 2.75rem; padding: .5rem 1.5rem; font: inherit; font-weight: 600;
  color: var(--on-accent); background: var(--accent); border: 2px solid var(--accent); border-radius: 1.5rem; cursor: pointer; }
.asyncpresign button.plain { color: var(--accent); background: transparent; }
.asyncpresign button:disabled { opacity: .55; cursor: default; }
.asyncpresign :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.asyncpresign .buttons { display: flex; flex-wrap: wrap; gap: .75rem; }
.asyncpresign progress { width: 100%; height: .75rem; accent-color: var(--accent); }
.asyncpresign [role=status]:not(:empty) { padding: .75rem 1rem; border-inline-start: 4px solid var(--line);
  background: var(--soft); border-radius: .25rem; }
.asyncpresign [role=status]:empty { margin-top: -1rem; }
.asyncpresign [role=status][data-state=done] { border-color: var(--good); color: var(--good); }
.asyncpresign [role=status][data-state=refused] { border-color: var(--bad); color: var(--bad); }
@media (max-width: 30rem) { .asyncpresign { padding: 1rem; } .asyncpresign button { width: 100%; } }
"""

_PAGE_STYLE = """
:root { color-scheme: light dark; background: #e9eef3; }
body { margin: 0; min-height: 100vh; min-height: 100dvh; display: grid; place-items: center; padding: 1rem;
  box-sizing: border-box; }
main { width: 100%; max-width: 34rem; }
@media (prefers-color-scheme: dark) { :root { background: #101317; } }
"""

# A field hides the form's property of its name, whatever that is: `dataset`, `submit`, `addEventListener`. So the script reads
# no property of the form, and calls methods of the prototypes.
SCRIPT = """
(() => {
  "use strict";
  const root = document.currentScript.previousElementSibling;
  const find = (what) => root.querySelector(what);
  const form = find("form"), input = find("input[type=file]"), label = find("label"), bar = find("progress");
  const send = find("button[type=submit]"), stop = find("button.stop"), plain = find("button.native");
  const said = find("[role=status]");
  const rules = root.dataset;
  let request = null;

  const say = (state, ...lines) => { said.dataset.state = state; said.textContent = lines.filter(Boolean).join(" "); };
  const size = (bytes) => {
    const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; unit += 1; }
    return bytes === 1 && !unit ? "1 byte"
      : `${unit && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
  };
  const named = (file) => `\\u201c${file.name}\\u201d`;

  const accepted = (file) => {
    const tokens = (input.accept || "").toLowerCase().split(",").map((token) => token.trim()).filter(Boolean);
    const name = file.name.toLowerCase(), type = file.type.toLowerCase();
    return !tokens.length || tokens.some((token) => token.startsWith(".") ? name.endsWith(token)
      : token.endsWith("/*") ? type.startsWith(token.slice(0, -1)) : type === token);
  };

  const objection = (file) => {
    if (!file) return "Choose a file first.";
    if (rules.max && file.size > Number(rules.max))
      return `${named(file)} has ${size(file.size)}, which is too large: at most ${rules.maxWords} can be uploaded here.`;
    if (rules.min && file.size < Number(rules.min))
      return `${named(file)} has ${size(file.size)}, which is too small: at least ${rules.minWords} must be uploaded here.`;
    if (!accepted(file) || ("typePrefix" in rules && !file.type.startsWith(rules.typePrefix) && rules.typePrefix))
      return `${named(file)} is of the wrong type (${file.type || "unknown"}): only ${rules.kindWords} can be uploaded here.`;
    return "";
  };

  const check = () => {
    const file = input.files[0], problem = objection(file);
    if (problem) say("refused", problem);
    else say("ready", `${named(file)}, ${size(file.size)}.`);
    return !problem;
  };

  const busy = (on) => {
    send.disabled = input.disabled = on;
    bar.hidden = stop.hidden = !on;
    plain.hidden = true;
    if (on) bar.removeAttribute("value");
  };

  // The default answer to a form is 204, at which a browser keeps the page as it is.
  const submitPlainly = () => {
    busy(false);
    say("plain", `Sending ${named(input.files[0])} as a plain form. Its answer replaces this page, unless there is nothing to`,
      "show: if this page is still here when your browser has finished, the file was stored.");
    HTMLFormElement.prototype.submit.call(form);
  };

  const words = {
    EntityTooLarge: () => `The file is too large${rules.maxWords ? `: at most ${rules.maxWords}` : ""}.`,
    EntityTooSmall: () => `The file is too small${rules.minWords ? `: at least ${rules.minWords}` : ""}.`,
    ExpiredToken: () => "This form has expired. Ask for a new one.",
    SlowDown: () => "The storage is busy. Try again in a moment.",
  };
  const explain = (code, message) => /expired/i.test(message) ? words.ExpiredToken()
    : Object.hasOwn(words, code) ? words[code]() : "The storage refused the file.";

  const finish = (xhr, file) => {
    const answer = new DOMParser().parseFromString(xhr.responseText || "<none/>", "application/xml");
    const text = (name) => (answer.getElementsByTagName(name)[0] || { textContent: "" }).textContent.trim();
    if (xhr.status >= 200 && xhr.status < 300) {
      input.value = "";
      return say("done", `Uploaded: ${named(file)}, ${size(file.size)}.`);
    }
    const code = text("Code"), message = text("Message");
    say("refused", explain(code, message), `(HTTP ${xhr.status}${code ? ` ${code}` : ""}${message ? `: ${message}` : ""})`);
  };

  const upload = (file) => {
    const fields = new FormData(form), xhr = new XMLHttpRequest();
    let moved = false;
    request = xhr;
    busy(true);
    say("busy", `Uploading ${named(file)}, ${size(file.size)} \\u2026`);
    xhr.upload.onprogress = (event) => {
      moved = moved || event.loaded > 0;
      if (event.lengthComputable) bar.value = event.loaded / event.total;
    };
    xhr.onload = () => { busy(false); finish(xhr, file); };
    xhr.onabort = () => { busy(false); say("stopped", `Stopped: ${named(file)} was not sent completely.`); };
    // Status 0: the network, or a bucket that lets no page read its answers; a browser does not tell which. Where nothing
    // was sent yet, sending it as a plain form loses nothing. Else the file may have been stored: nobody can say.
    xhr.onerror = () => {
      if (!moved) return submitPlainly();
      busy(false);
      plain.hidden = false;
      say("unknown", `${named(file)} was sent, but no answer could be read: it may have been stored, or not.`,
        "You can send it once more; the answer will replace this page.");
    };
    xhr.open("POST", rules.url);
    xhr.send(fields);
  };

  EventTarget.prototype.addEventListener.call(form, "submit", (event) => {
    const file = input.files[0];
    if (!check()) return event.preventDefault();
    const type = find("input.type");
    if (type && file.type) type.value = file.type;
    if ("redirects" in rules) return undefined;
    event.preventDefault();
    return upload(file);
  });
  input.addEventListener("change", check);
  stop.addEventListener("click", () => request && request.abort());
  plain.addEventListener("click", submitPlainly);

  for (const name of ["dragenter", "dragover", "dragleave", "drop"])
    label.addEventListener(name, (event) => {
      event.preventDefault();
      label.classList.toggle("over", name === "dragenter" || name === "dragover");
      if (name !== "drop" || input.disabled || !event.dataTransfer.files.length) return;
      const one = new DataTransfer();
      one.items.add(event.dataTransfer.files[0]);
      input.files = one.files;
      check();
    });
  input.required = false;
  label.firstElementChild.textContent = "Choose a file, or drop it here";
  for (const time of root.querySelectorAll("time"))
    time.textContent = new Date(time.dateTime).toLocaleString(document.documentElement.lang || "en",
      { dateStyle: "medium", timeStyle: "short" });
})();
"""


@dataclass(frozen=True, slots=True)
class _Rules:
    """What the policy says of the file: bytes, and a beginning of its type (None: nothing; exact, where it is `fixed`)."""

    minimum: int | None = None
    maximum: int | None = None
    type_prefix: str | None = None
    fixed: bool = False


def content_security_policy(url: str, fields: Mapping[str, str]) -> str:
    """The strictest policy under which the page works: no source but its own style and script, by their hashes.

    Raises `InvalidRequest` for a form that cannot be on a page.
    """
    if problems := [*_form_problems(url, fields)]:
        raise InvalidRequest(*problems)
    hashes = {
        "style-src": (STYLE, _PAGE_STYLE),
        "script-src": (SCRIPT,),
    }
    origin = _origin(url)
    directives = ["default-src 'none'", "base-uri 'none'", f"connect-src {origin}"]
    if not _redirects(fields):  # browsers hold a form's redirects against form-action too, wherever they lead
        directives.append(f"form-action {origin}")
    directives += [f"{name} {' '.join(map(_hash, texts))}" for name, texts in hashes.items()]
    return "; ".join(directives)


def page(
    url: str,
    fields: Mapping[str, str],
    expires_at: datetime,
    *,
    title: str,
    accept: str | None,
    fragment: bool,
    nonce: str | None,
) -> str:
    """See `PresignedPost.html`."""
    texts = [("title", title), *(pair for pair in (("accept", accept), ("nonce", nonce)) if pair[1] is not None)]
    problems = [
        *_form_problems(url, fields),
        *(Problem(name, "a str that UTF-8 can encode", describe(value)) for name, value in texts if not _is_text(value)),
        *([] if isinstance(fragment, bool) else [Problem("fragment", "a bool", describe(fragment))]),
        *([] if utc(expires_at) else [Problem("expires_at", "a datetime with a time zone", describe(expires_at))]),
    ]
    if problems:
        raise InvalidRequest(*problems)
    rules = _rules(fields)
    if accept is None:
        accept = _accept(rules.type_prefix)
    data = "".join(f' data-{name}="{escape(value)}"' for name, value in _data(rules, url, fields, accept).items())
    policy = escape(content_security_policy(url, fields))
    pass_ = f' nonce="{escape(nonce)}"' if nonce else ""
    heading = "" if fragment else f"\n  <h1>{escape(title)}</h1>"
    form = f"""<style{pass_}>{STYLE}</style>
<section class="asyncpresign" aria-label="{escape(title)}"{data}>{heading}
{_form(url, fields, iso8601(expires_at), rules, accept)}
</section>
<script{pass_}>{SCRIPT}</script>"""
    if fragment:
        return form + "\n"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style{pass_}>{_PAGE_STYLE}</style>
</head>
<body>
<main>
{form}
</main>
</body>
</html>
"""


def _form_problems(url: object, fields: object) -> Iterator[Problem]:
    """Why no page could have this form."""
    if not _is_text(url) or not _ADDRESS.fullmatch(url):
        yield Problem("url", "an http(s) URL of a host, as signers make it", describe(url))
    if not isinstance(fields, Mapping):
        yield Problem("fields", "a mapping of field names to strings", describe(fields))
        return
    for name, value in fields.items():
        if not (_is_text(name) and _is_text(value)):
            yield Problem(f"fields[{name!a}]", "a name and a value of str that UTF-8 can encode", describe(value))
        elif _CHANGED.search(f"{name}\t{value}"):
            expected = "no NUL, and no line breaks other than CR LF, which browsers replace; upload_form sends them"
            yield Problem(f"fields[{name!a}]", expected, describe(value))


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and not _SURROGATE.search(value)


def _form(url: str, fields: Mapping[str, str], expires_at: str, rules: _Rules, accept: str) -> str:
    chooser, end = f' accept="{escape(accept)}"' if accept else "", escape(expires_at)
    return f"""  <form action="{escape(url)}" method="post" enctype="multipart/form-data" accept-charset="utf-8">
{_hidden(fields, rules)}
    <label><span>Choose a file</span> <input type="file" name="file" required{chooser}></label>
    <p class="hint">{_hint(rules, accept)}This form can be used until <time datetime="{end}">{end}</time>.</p>
    <progress max="1" aria-label="Upload" hidden></progress>
    <div class="buttons">
      <button type="submit">Upload</button>
      <button type="button" class="plain stop" hidden>Stop</button>
      <button type="button" class="plain native" hidden>Send once more</button>
    </div>
    <p role="status"></p>{_NO_SCRIPT if _answers_nothing(fields) else ""}
  </form>"""


def _hidden(fields: Mapping[str, str], rules: _Rules) -> str:
    """The form's fields; and a type where the policy wants one of a kind and the caller left it to the file."""
    rows = [(name, value, "") for name, value in fields.items()]
    if rules.type_prefix is not None and not rules.fixed:
        rows = [(name, value, ' class="type"' if name.lower() == "content-type" else "") for name, value, _ in rows]
        if not any(mark for _, _, mark in rows):
            rows.append(("Content-Type", _some_type(rules.type_prefix), ' class="type"'))
    return "\n".join(
        f'    <input {_kind(name)} name="{_attribute(name)}" value="{_attribute(value)}"{mark}>' for name, value, mark in rows
    )


def _kind(name: str) -> str:
    """In a field of the type "hidden" that is called so, a browser replaces the value by the name of the form's encoding."""
    return 'type="text" hidden' if name.lower() == "_charset_" else 'type="hidden"'


def _attribute(text: str) -> str:
    # A parser reads a plain CR LF as LF.
    return escape(text).replace("\r\n", "&#13;&#10;")


def _some_type(prefix: str) -> str:
    """A type that begins with `prefix`, for a browser without script, which cannot say the file's own."""
    return "application/octet-stream" if not prefix else f"{prefix}*" if prefix.endswith("/") else prefix


def _data(rules: _Rules, url: str, fields: Mapping[str, str], accept: str) -> dict[str, str]:
    """What the script is told."""
    data = {"url": url, "kind-words": _kinds(accept) or "other files"}
    if rules.maximum is not None:
        data |= {"max": str(rules.maximum), "max-words": _words(rules.maximum)}
    if rules.minimum:
        data |= {"min": str(rules.minimum), "min-words": _words(rules.minimum)}
    if rules.type_prefix is not None and not rules.fixed:
        data["type-prefix"] = rules.type_prefix
    if _redirects(fields):
        data["redirects"] = ""
    return data


def _hint(rules: _Rules, accept: str) -> str:
    limits = [escape(_kinds(accept))] if accept else []
    if rules.minimum is not None and rules.minimum > 1:
        limits.append(f"at least {_words(rules.minimum)}")
    if rules.maximum is not None:
        limits.append(f"at most {_words(rules.maximum)}")
    text = ", ".join(limits)
    return f"{text[0].upper()}{text[1:]}. " if text else ""


def _kinds(accept: str) -> str:
    tokens = [token.strip() for token in accept.split(",") if token.strip()]
    return " or ".join(_KINDS.get(token, f"{token} files") for token in tokens)


def _words(size: int) -> str:
    """`size` bytes in the largest unit in which it is whole, or nearly so."""
    if size == 1:
        return "1 byte"
    amount, unit = float(size), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f}".removesuffix(".0") + f" {_UNITS[unit]}"


def _accept(prefix: str | None) -> str:
    if prefix is None or prefix in _ANYTHING:
        return ""
    return f"{prefix}*" if prefix.endswith("/") else prefix if "/" in prefix else ""


def _rules(fields: Mapping[str, str]) -> _Rules:
    """What the form's own policy says; nothing where there is no policy that can be read."""
    minimum = maximum = prefix = None
    given = {name.lower(): value for name, value in fields.items()}
    try:
        rules = read_policy(given.get("policy", "")).rules
    except ValueError:
        rules = ()
    for rule in rules:
        if isinstance(rule.value, tuple):
            minimum, maximum = rule.value
        elif (rule.operator, rule.field) == ("starts-with", "content-type"):
            prefix = rule.value
    if prefix is not None:
        return _Rules(minimum, maximum, prefix)
    return _Rules(minimum, maximum, given.get("content-type"), fixed=True)


def _redirects(fields: Mapping[str, str]) -> bool:
    return any(name.lower() in ("success_action_redirect", "redirect") and value for name, value in fields.items())


def _answers_nothing(fields: Mapping[str, str]) -> bool:
    status = next((value for name, value in fields.items() if name.lower() == "success_action_status"), "204")
    return not _redirects(fields) and status not in ("200", "201")


def _origin(url: str) -> str:
    found = _ADDRESS.fullmatch(url)
    assert found is not None, "_form_problems has looked"
    return found[1]


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
