"""What keeps browsers from taking an answer for something else (Durable Streams 1.0, section 10.7)."""

from __future__ import annotations

FOR_BROWSERS = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}
"""Headers of answers that hold what others have written: no guessing of types, no embedding in pages of others."""
