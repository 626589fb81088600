"""What self-contained pages share: data that cannot end their element, a policy that lets nothing else run."""

import base64
import hashlib
import json
from typing import Any


def json_for_html(value: Any) -> str:
    """JSON that is safe inside a `<script>` element: no `<`, so no tag or comment can open or close."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")


def content_security_policy(style: str, script: str) -> str:
    """Forbid the page everything except its own style and script, which are named by their hashes."""

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    directives = {
        "default-src": "'none'",
        "style-src": source(style),
        "script-src": source(script),
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items())
