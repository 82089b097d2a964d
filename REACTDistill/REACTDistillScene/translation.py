"""The translation of the application; outside of it, texts stay as they are written."""

from __future__ import annotations

try:
    from slicer.i18n import tr
except ModuleNotFoundError:

    def tr(text: str) -> str:
        """The text as it is."""
        return text


__all__ = ["tr"]
