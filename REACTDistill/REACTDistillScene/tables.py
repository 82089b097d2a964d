"""Finding to table nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import vtk

if TYPE_CHECKING:
    from REACTDistillLib.finding import Finding
    from REACTDistillLib.graph import RegionGraph

PREDICTED_CLASS = "Predicted class"
SHOWN_CLASS = "Shown class"
PROBABILITY = "Probability of "
NOTICE = "Notice"
STUDENT = "Student"
STUDENT_VERSION = "Student version"
STUDENT_SHA256 = "Student tensors SHA-256"


def fillFindingTable(node: Any, finding: Finding, *, when: datetime) -> None:
    """Give a table node the columns Item and Value: classes with probabilities, provenance, then every notice.

    The notices are rows, so they stay with the numbers when the table is exported.
    """
    rows = [(PREDICTED_CLASS, finding.predicted_class), (SHOWN_CLASS, finding.shown_class)]
    rows += [(f"{PROBABILITY}{label}", f"{value:.4f}") for label, value in finding.probabilities.items()]
    rows += provenanceRows(finding, when=when)
    fillTable(node, {"Item": [row[0] for row in rows], "Value": [row[1] for row in rows]})


def provenanceRows(finding: Finding, *, when: datetime) -> list[tuple[str, str]]:
    """Item and value of who said it and when, then of every notice."""
    provenance = finding.provenance
    rows = [
        (STUDENT, provenance.student),
        (STUDENT_VERSION, provenance.student_version),
        (STUDENT_SHA256, provenance.tensors_sha256),
        ("Software version", provenance.software_version),
        ("Device", provenance.device),
        ("Seconds", f"{provenance.seconds:.2f}"),
        ("Date", when.strftime("%Y-%m-%d %H:%M:%S")),
        ("Intended use", provenance.intended_use),
    ]
    return rows + [(f"{NOTICE} {number}", notice) for number, notice in enumerate(finding.notices(), start=1)]


def fillRegionTable(node: Any, graph: RegionGraph) -> None:
    """Give a table node one row per region: name, kind, volume, centroid in world RAS mm, importance."""
    columns: dict[str, Sequence[str] | Sequence[float]] = {"Region": graph.names, "Kind": graph.kinds}
    columns["Volume (ml)"] = [round(float(volume), 3) for volume in graph.volumes_ml]
    for axis, letter in enumerate("RAS"):
        columns[f"{letter} (mm)"] = [round(float(center), 2) for center in graph.centroids_ras[:, axis]]
    columns["Importance"] = [round(float(importance), 4) for importance in graph.importance]
    fillTable(node, columns)


def cells(tableNode: Any) -> list[list[str]]:
    """All cells of a table node as text, row by row."""
    table = tableNode.GetTable()
    columns = range(table.GetNumberOfColumns())
    return [[table.GetValue(row, column).ToString() for column in columns] for row in range(table.GetNumberOfRows())]


def fillTable(node: Any, columns: Mapping[str, Sequence[str] | Sequence[float]]) -> None:
    """Give a table node these columns, by title, instead of those it has, and lock it."""
    wasModifying = node.StartModify()
    node.RemoveAllColumns()
    for title, values in columns.items():
        array = vtk.vtkStringArray() if isinstance(values[0], str) else vtk.vtkDoubleArray()
        array.SetName(title)
        for value in values:
            array.InsertNextValue(value)
        node.AddColumn(array)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    node.EndModify(wasModifying)
