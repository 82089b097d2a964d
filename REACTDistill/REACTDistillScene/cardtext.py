"""The card of a student as text for a panel."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from REACTDistillLib.card import Card


def cardText(student: Path) -> str:
    """Rich text of the card in a student file, or the one sentence why it cannot be read."""
    from REACTDistillLib.student import read_card

    try:
        return cardAsRichText(read_card(student))
    except ModuleNotFoundError as error:
        return html.escape(_('The card can be shown when the package "{name}" is installed.').format(name=error.name))
    except ValueError as error:
        return html.escape(str(error))


def cardAsRichText(card: Card) -> str:
    """One line per item: name, task, what is needed, scores, intended use, limitations, license."""
    needs = [*card.sequences["required"], *card.regions["required"]]
    options = [*card.sequences["optional"], *card.regions["optional"]]
    items = [
        (_("Task"), f"{card.task}: {', '.join(card.classes)}"),
        (_("Needs"), ", ".join(needs) + (f" ({_('optional')}: {', '.join(options)})" if options else "")),
        (_("Scores"), "; ".join(_scores(subset, values) for subset, values in card.metrics.items())),
        (_("Intended use"), card.intended_use),
        (_("Limitations"), card.limitations),
        (_("License"), card.licence),
    ]
    title = f"<b>{html.escape(card.name)} {html.escape(card.version)}</b>"
    return "<br>".join([title, *(f"<i>{name}:</i> {html.escape(value)}" for name, value in items if value)])


def _scores(subset: str, values: object) -> str:
    numbers = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in dict(values).items())  # type: ignore[call-overload]
    return f"{subset}: {numbers}"
