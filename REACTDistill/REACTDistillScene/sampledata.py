"""Sample data of this extension in the module "Sample Data": a shipped phantom, and a public CT of a liver."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import slicer

from .translation import tr as _

CATEGORY = "REACTDistill"
PHANTOM_SAMPLE = "Liver phantom"
PUBLIC_SAMPLE = "Liver CT (public)"
SYNTHETIC_ATTRIBUTE = "REACTDistill.Synthetic"  # of a node; "1" when no patient is shown
_FOLDER = Path(__file__).resolve().parent.parent / "Resources" / "SampleData"
_LIVER_WINDOW_HU = (-160.0, 240.0)


class SampleFile(NamedTuple):
    """One file of a sample: its name in the cache, the name of its node, its SHA-256, and where it comes from."""

    name: str
    node: str
    sha256: str
    address: str


def _shipped(name: str, node: str, sha256: str) -> SampleFile:
    return SampleFile(name, node, sha256, (_FOLDER / name).as_uri())


# Made by Testing/benchmarks/make_sample_data.py.
PHANTOM_FILES = (
    _shipped(
        "REACTDistillPhantomCT.nrrd",
        "Phantom CT (synthetic)",
        "5a1ea85b1a76146451fa327b00005089aca0f0420f389ff5d6288df7115dcabb",
    ),
    _shipped(
        "REACTDistillPhantomRegions.seg.nrrd",
        "Phantom regions (synthetic)",
        "619cae551c57c247203eb833a5e3f507c5342da218ef5bdeee60302fa4a78520",
    ),
)
# The application's own sample "CTLiver" (Medical Segmentation Decathlon, CC BY-SA 4.0), with which it shares its file
# in the cache, and the organs in it that the extension "Sandbox" offers.
PUBLIC_FILES = (
    SampleFile(
        "CTLiver.nrrd",
        "CTLiver",
        "e16eae0ae6fefa858c5c11e58f0f1bb81834d81b7102e021571056324ef6f37e",
        "https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/"
        "e16eae0ae6fefa858c5c11e58f0f1bb81834d81b7102e021571056324ef6f37e",
    ),
    SampleFile(
        "CTLiverSegmentation.seg.nrrd",
        "CTLiverSegmentation",
        "ce9a7182a666788a2556f6cf4f59ad5dadd944171cc279e80c164496729a7032",
        "https://github.com/PerkLab/SlicerSandbox/releases/download/TestingData/CTLiverSegmentation.seg.nrrd",
    ),
)


def registerSampleData() -> None:
    """Offer the samples in the module "Sample Data"; downloads nothing, and a second call changes nothing.

    To be called when the application has started: before, its modules do not see each other. Where it runs without
    that module there is nothing to offer them in, and a line in the log says so.
    """
    try:
        from SampleData import SampleDataLogic  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        if error.name != "SampleData":
            raise
        logging.info("REACTDistill: no samples are offered, because the module Sample Data is not there.")
        return
    # Compared by name: after a reload the function that loads the phantom is another object.
    known = {source.sampleName for source in SampleDataLogic.sampleDataSourcesByCategory(CATEGORY)}
    for sample in (_phantomSample(), _sample(PUBLIC_SAMPLE, PUBLIC_FILES, "REACTDistillPublicCT.png")):
        if sample["sampleName"] not in known:
            SampleDataLogic.registerCustomSampleDataSource(category=CATEGORY, **sample)


def loadPhantom() -> tuple[Any, Any]:
    """The shipped phantom as new nodes: (CT, segmentation with the segments "liver" and "tumor").

    Both are marked as synthetic. Raises ValueError with one sentence when a file is damaged or cannot be read.
    """
    from SampleData import SampleDataLogic, SampleDataSource

    nodes = SampleDataLogic().downloadFromSource(SampleDataSource(**_phantomSample()))
    if len(nodes) != len(PHANTOM_FILES) or None in nodes:
        for node in filter(None, nodes):
            slicer.mrmlScene.RemoveNode(node)
        raise ValueError(_("The phantom could not be loaded (see the log): install the extension again."))
    ctVolume, segmentation = nodes
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(ctVolume)
    ctVolume.GetDisplayNode().AutoWindowLevelOff()
    ctVolume.GetDisplayNode().SetWindowLevelMinMax(*_LIVER_WINDOW_HU)
    for node in nodes:
        node.SetAttribute(SYNTHETIC_ATTRIBUTE, "1")
    return ctVolume, segmentation


def _phantomSample() -> dict[str, Any]:
    sample = _sample(PHANTOM_SAMPLE, PHANTOM_FILES, "REACTDistillPhantom.png")
    return {**sample, "customDownloader": _loadFromPanel}


def _loadFromPanel(_source: Any) -> None:
    """What a click on the sample does."""
    try:
        loadPhantom()
    except ValueError as error:
        slicer.util.errorDisplay(str(error))


def _sample(name: str, files: Sequence[SampleFile], thumbnail: str) -> dict[str, Any]:
    return {
        "sampleName": name,
        "uris": [file.address for file in files],
        "fileNames": [file.name for file in files],
        "nodeNames": [file.node for file in files],
        "checksums": [f"SHA256:{file.sha256}" for file in files],
        "thumbnailFileName": str(_FOLDER / thumbnail),
    }
