"""A Finding as one HTML page without scripts or outside files, for a reader who has nothing installed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from REACTDistillLib.finding import Finding
    from REACTDistillLib.graph import RegionGraph

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.notice { border-left: 5px solid #c0392b; background: #fdf0ee; padding: .5rem 1rem; margin: 1rem 0; }
.pictures { display: grid; grid-template-columns: 1fr 1fr; gap: .8rem; }
.pictures img { width: 100%; display: block; border-radius: 4px; } figure { margin: 0; }
figcaption { font-size: .85rem; color: #55606e; }
table { border-collapse: collapse; } td, th { padding: .25rem .8rem .25rem 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.bar { display: inline-block; height: .8rem; background: #2b7a9b; border-radius: 2px; }
.against { background: #b9822b; } .small { color: #55606e; font-size: .85rem; }
"""

_PICTURES = (
    ("axial.png", "Axial slice"),
    ("coronal.png", "Coronal slice"),
    ("sagittal.png", "Sagittal slice"),
    ("three-d.png", "Liver, tumors and region graph: the larger a sphere, the more its region speaks for the class"),
)

_HOW_TO_READ = """
The heat map shows which places speak for the predicted class in this network: 1 is the strongest place of this image, 0
has no voice or speaks against the class. It explains the network, not the disease, and heights of two patients cannot
be compared. Importance is the share of a region in all evidence: positive speaks for the predicted class, negative
against it. Regions overlap, so the shares need not add up to one.
"""


def writePage(finding: Finding, folder: Path, *, isSynthetic: bool, seconds: float) -> Path:
    """Write ``index.html`` into ``folder``, beside the pictures, ``finding`` and ``scene.mrb`` it refers to."""
    notices = (
        ["The images are synthetic: no patient is shown.", *finding.notices()] if isSynthetic else finding.notices()
    )
    parts = [
        f"<h1>Tumor grade: {escape(finding.predicted_class)}</h1>",
        f'<p class="small">Case {escape(finding.case_identifier)}</p>',
        '<div class="notice">' + "<br>".join(escape(notice) for notice in notices) + "</div>",
        "<h2>Probabilities</h2>",
        _probabilities(finding),
        "<h2>Where the answer comes from</h2>",
        "<p>The slices run through the largest tumor; without a tumor, through the region that speaks loudest.</p>",
        '<div class="pictures">' + "".join(figure(folder, *picture) for picture in _PICTURES) + "</div>",
        f"<p>{escape(_HOW_TO_READ)}</p>",
        "" if finding.graph is None else "<h2>Regions</h2>" + _regions(finding.graph),
        "<h2>Made by</h2>",
        _provenance(finding, seconds),
        "<h2>Files</h2>",
        _files(),
    ]
    return writeHtml(folder / "index.html", "Tumor grade", parts)


def writeHtml(page: Path, title: str, parts: Sequence[str]) -> Path:
    """Write the parts of a page in the one style; returns the page."""
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    page.write_text(head + "</head><body>" + "\n".join(parts) + "</body></html>\n", encoding="utf-8")
    return page


def _probabilities(finding: Finding) -> str:
    rows = [
        f'<tr><td>{escape(label)}</td><td class="number">{value:.3f}</td><td>{_bar(value, 300)}</td></tr>'
        for label, value in finding.probabilities.items()
    ]
    return "<table>" + "".join(rows) + "</table>"


def _bar(share: float, widthPixels: int) -> str:
    kind = "bar" if share >= 0 else "bar against"
    return f'<span class="{kind}" style="width:{abs(share) * widthPixels:.0f}px"></span>'


def figure(folder: Path, name: str, caption: str) -> str:
    if not (folder / name).is_file():
        return ""
    return f'<figure><img src="{name}" alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>'


def _regions(graph: RegionGraph) -> str:
    rows = ["<tr><th>Region</th><th>Volume (ml)</th><th>Center R, A, S (mm)</th><th>Importance</th><th></th></tr>"]
    for index, name in enumerate(graph.names):
        place = ", ".join(f"{value:.0f}" for value in graph.centroids_ras[index])
        share = float(graph.importance[index])
        rows.append(
            f'<tr><td>{escape(name)}</td><td class="number">{graph.volumes_ml[index]:.1f}</td><td>{place}</td>'
            f'<td class="number">{share:+.3f}</td><td>{_bar(share, 200)}</td></tr>'
        )
    return "<table>" + "".join(rows) + "</table>"


def _provenance(finding: Finding, seconds: float) -> str:
    made = finding.provenance
    rows = {
        "Student": f"{made.student} {made.student_version}",
        "Checksum of its tensors": made.tensors_sha256,
        "Intended use": made.intended_use,
        "Software": made.software_version,
        "Device": made.device,
        "Time": f"{made.seconds:.2f} s for the grade, {seconds:.1f} s with scene and pictures",
    }
    return "<table>" + "".join(f"<tr><td>{k}</td><td>{escape(v)}</td></tr>" for k, v in rows.items()) + "</table>"


def _files() -> str:
    files = {
        "finding/finding.json": "everything above, for programs",
        "finding/probabilities.csv": "probabilities",
        "finding/regions.csv": "regions",
        "finding/attention.nrrd": "heat map on the grid of the CT",
        "scene.mrb": "the scene, to open in 3D Slicer",
    }
    rows = [f'<li><a href="{name}">{name}</a>: {escape(text)}</li>' for name, text in files.items()]
    return "<ul>" + "".join(rows) + "</ul>"
