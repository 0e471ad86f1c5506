"""Tokens and passwords, recognised by how they look, and left out of what is written about a run."""

from __future__ import annotations

import re

MASK = "…"
_WORD = r"(?:token|secret|passw(?:or)?d|api[_-]?key|access[_-]?key)"
_SECRET_NAME = re.compile(rf"(?:^|[._-]){_WORD}$", re.IGNORECASE)
# Each has the part that stays in front of the secret as its first group
_SECRETS = [
    re.compile(r"(\b\w+://)[^/@\s'\"]+(?=@)"),  # user:password@ in an address
    re.compile(rf"((?:--|[?&])[\w-]*{_WORD}(?:=|\s+))[^\s&'\"]+", re.IGNORECASE),  # --token=…, ?token=…
    re.compile(rf"(\b[\w.-]*{_WORD.upper()}['\"]?\s*[=:]\s*['\"]?)[^\s'\"]+"),  # HF_TOKEN=…
    re.compile(rf"(\b[\w.-]*{_WORD}['\"]?\s*[=:]\s*['\"])[^'\"\n]{{6,}}(?=['\"])", re.IGNORECASE),  # token = "…"
    re.compile(r"(\bbearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE),
    re.compile(r"()\b(?:hf_|github_pat_|gh[pousr]_|glpat-|sk-|xox[abprs]-)[A-Za-z0-9_-]{16,}"),
    re.compile(r"()\bAKIA[0-9A-Z]{16}\b"),
    re.compile(r"()\beyJ[\w-]{10,}\.[\w-]{10,}(?:\.[\w-]*)?"),  # a JSON web token
]


def masked(text: str) -> str:
    """`text` with … in place of everything that looks like a token or a password."""
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text


def is_secret(name: str, value: str) -> bool:
    """Whether `value` looks like a secret, or has the name of one and is more than a number or a word."""
    return masked(value) != value or (bool(_SECRET_NAME.search(name)) and len(value) >= 6)
