"""The pieces of a report: the check of its folder, and an HTML page that needs nothing else."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TypeVar

from .atomic import new_folder
from .bootstrap import Scored
from .evaluation import StudentEvaluation

Judged = TypeVar("Judged", bound=StudentEvaluation)
PAGE = "report.html"
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #e3e3e3; vertical-align: top; }
.notice { border-left: 4px solid #D55E00; padding: .3rem .8rem; margin: .4rem 0; background: #fdf3ee; }
figure { display: inline-block; margin: .5rem 1rem .5rem 0; vertical-align: top; max-width: 100%; }
figure img { max-width: 100%; height: auto; }
figcaption { font-size: .85rem; color: #555; max-width: 30rem; }
code { overflow-wrap: anywhere; }
"""


def check_report_folder(folder: Path | str) -> None:
    """Raise ValueError when a report cannot be written as the new folder ``folder``."""
    folder = Path(folder).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f'"{folder.name}" is not an empty folder; name a new one for the report.')
    above = next(path for path in folder.parents if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ValueError(f'"{folder.name}" cannot be written: no right to write into the folder above it.')


def write_report_folder(
    evaluation: Judged,
    folder: Path | str,
    *,
    write_tables: Callable[[Judged, Path], None],
    draw_figures: Callable[[Judged, Path], dict[str, Path]],
    page: Callable[[Judged, Mapping[str, Path]], str],
) -> Path:
    """Return the new ``folder`` with ``report.html``, ``scores.json``, CSV tables and PNG figures.

    The page holds its figures and loads nothing. The folder appears complete or not at all; ValueError as
    ``check_report_folder``.
    """
    check_report_folder(folder)
    with new_folder(folder) as temporary:
        write_tables(evaluation, temporary)
        drawn = draw_figures(evaluation, temporary)
        (temporary / PAGE).write_text(page(evaluation, drawn), encoding="utf-8")
    return Path(folder).resolve()


def report_page(evaluation: StudentEvaluation, parts: Iterable[str]) -> str:
    """Return the HTML page of ``parts`` below the title of an evaluation and the notices that belong to it."""
    title = f"{evaluation.title}: evaluation"
    mark = " (synthetic)" if evaluation.is_synthetic else ""
    notices = (f'<p class="notice">{escape(notice)}</p>' for notice in evaluation.notices())
    return html_page(title, [f"<h1>{escape(title + mark)}</h1>", *notices, *parts])


def html_page(title: str, parts: Iterable[str]) -> str:
    """The page of HTML ``parts``; ``title`` is plain text."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def section(title: str, *parts: str) -> str:
    """A heading with what stands below it; nothing when that is nothing."""
    content = "\n".join(part for part in parts if part)
    return f"<h2>{escape(title)}</h2>\n{content}" if content else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows hold HTML, the head plain text."""
    top = f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr>\n" if head else ""
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>\n{top}{body}\n</table>"


def interval(scored: Scored) -> str:
    """A score with the ends of its interval: value, low, high."""
    value, low, high = scored
    return f"{value:.3f} <small>({low:.3f} to {high:.3f})</small>"


def figures_of(drawn: Mapping[str, Path], captions: Mapping[str, str], *names: str) -> str:
    """The figures of these names, as far as they were drawn, each with its caption."""
    return "\n".join(figure(drawn[name], captions[name]) for name in names if name in drawn)


def figure(path: Path, caption: str) -> str:
    """A PNG file as part of the page, with a caption in plain text."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    caption = escape(caption)
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )
