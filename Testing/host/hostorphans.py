"""What a module left behind: observers, nodes without an owner, widgets, child processes, files."""

from __future__ import annotations

import os
import tempfile
import weakref
from dataclasses import dataclass, fields
from pathlib import Path

import qt
import slicer
import vtk

_HOST = Path(__file__).resolve().parent
_EXTENSION = _HOST.parent.parent


class ObserverLedger:
    """Keeps book of the observers that the extension's code adds to the scene and to its nodes.

    VTK tells nobody its observers, so ``AddObserver`` and ``RemoveObserver`` of each object are replaced.
    """

    def __init__(self, scene):
        self._scene, self._open, self._watched = scene, {}, weakref.WeakSet()
        self.watch(scene)
        self._tag = scene.AddObserver(scene.NodeAddedEvent, self._onAdded, 100.0)
        for index in range(scene.GetNumberOfNodes()):
            self.watch(scene.GetNthNode(index))

    def stop(self):
        self._scene.RemoveObserver(self._tag)
        for observed in list(self._watched):
            for name in ("AddObserver", "RemoveObserver", "RemoveObservers", "RemoveAllObservers"):
                vars(observed).pop(name, None)

    def watch(self, observed):
        """Keep book of this VTK object too."""
        if observed in self._watched:
            return
        self._watched.add(observed)
        reference, add, remove = weakref.ref(observed), observed.AddObserver, observed.RemoveObserver

        def addObserver(event, callback, *arguments):
            tag = add(event, callback, *arguments)
            if _isOfExtension(callback):
                self._open[id(reference), tag] = (reference, event, callback)
            return tag

        def removeObserver(tag):
            self._open.pop((id(reference), tag), None)
            return remove(tag)

        observed.AddObserver, observed.RemoveObserver = addObserver, removeObserver

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onAdded(self, caller, event, node):
        self.watch(node)

    def orphans(self):
        """The observers that are still there, one line each; those of objects that are gone do not count."""
        lines = []
        for reference, event, callback in self._open.values():
            observed = reference()
            if observed is not None:
                lines.append(f"{observed.GetClassName()} {event} -> {callback.__qualname__}")
        return sorted(lines)


def _isOfExtension(callback):
    code = getattr(getattr(callback, "__func__", callback), "__code__", None)
    if code is None:
        return False
    path = Path(code.co_filename)
    return path.is_relative_to(_EXTENSION) and not path.is_relative_to(_HOST.parent) and ".venv" not in path.parts


def childProcesses():
    """Living processes below this one, as {process ID: command line}; ValueError where /proc does not tell."""
    if not Path("/proc/self/stat").exists():
        raise ValueError("processes can be counted on Linux only: there is no /proc here")
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:  # it ended while it was looked at
            continue
        if state != "Z":
            parents[int(folder.name)], commands[int(folder.name)] = int(parent), command
    found = [os.getpid()]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return {process: commands[process] for process in found[1:] if process in commands}


def ownerlessNodes(scene):
    """IDs of nodes that nothing refers to though they only serve others: of display, storage, user colors, editing."""
    nodes = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
    referred = {identifier for node in nodes for identifier in _references(node)}
    return sorted(node.GetID() for node in nodes if _serves(node) and node.GetID() not in referred)


def _serves(node):
    if node.IsA("vtkMRMLSegmentEditorNode"):
        return node.GetSingletonTag() != "SegmentEditor"  # that one belongs to the application
    kinds = ("vtkMRMLDisplayNode", "vtkMRMLStorageNode", "vtkMRMLColorTableNode")
    return not node.GetSingletonTag() and any(node.IsA(kind) for kind in kinds)


def _references(node):
    roles = [node.GetNthNodeReferenceRole(index) for index in range(node.GetNumberOfNodeReferenceRoles())]
    found = [node.GetNthNodeReferenceID(role, n) for role in roles for n in range(node.GetNumberOfNodeReferences(role))]
    if node.IsA("vtkMRMLDisplayNode"):
        found.append(node.GetColorNodeID())  # not kept as a reference like the others
    return found


def temporaryFiles():
    """Files and folders of the extension in the temporary folders, without the host's own."""
    folders = {Path(tempfile.gettempdir()), Path(slicer.app.temporaryPath)}
    own = ("reactdistill-host-", "reactdistill-scene-")
    found = [path for folder in folders for path in folder.glob("[Rr][Ee][Aa][Cc][Tt][Dd][Ii][Ss][Tt][Ii][Ll][Ll]*")]
    return sorted(str(path) for path in found if not path.name.startswith(own))


@dataclass(frozen=True)
class Belongings:
    """What there is at one moment; ``leftSince`` names what has been added since another moment."""

    observers: tuple[str, ...]
    nodes: tuple[str, ...]
    processes: tuple[str, ...]
    files: tuple[str, ...]
    widgets: tuple[str, ...]

    def leftSince(self, before: Belongings) -> list[str]:
        lines = []
        for kind in (field.name for field in fields(self)):
            earlier = list(getattr(before, kind))
            for entry in getattr(self, kind):
                if entry in earlier:
                    earlier.remove(entry)
                else:
                    lines.append(f"{kind}: {entry}")
        return lines


def belongings(ledger):
    """What there is now."""
    nodes = ownerlessNodes(slicer.mrmlScene)
    processes = [f"{process} {command}" for process, command in childProcesses().items()]
    widgets = [f"{type(one).__name__} {_nameOf(one)}" for one in qt.QtWidgets.QApplication.allWidgets()]
    return Belongings(*map(tuple, (ledger.orphans(), nodes, processes, temporaryFiles(), widgets)))


def _nameOf(widget):
    return qt.QtCore.QObject.objectName(widget)
