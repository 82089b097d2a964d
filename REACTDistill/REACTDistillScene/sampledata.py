"""Sample data of this extension in the module "Sample Data": two shipped phantoms, and a public CT of a liver."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import slicer

from .translation import tr as _

CATEGORY = "REACTDistill"
PHANTOM_SAMPLE = "Liver phantom"
BRAIN_SAMPLE = "Brain phantom"
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
BRAIN_FILES = (
    _shipped(
        "REACTDistillBrainT1.nrrd",
        "Brain T1 (synthetic)",
        "875b6543ea04c746acc920eefdd0a6a483812e98d1b234407fe9a2140e6c2ec6",
    ),
    _shipped(
        "REACTDistillBrainT1ce.nrrd",
        "Brain T1ce (synthetic)",
        "38ac554a5b7824ea664a28bf8476a4e3dbe4ec5f407a0bb7062327aa41826b7b",
    ),
    _shipped(
        "REACTDistillBrainT2.nrrd",
        "Brain T2 (synthetic)",
        "618b70453a804fabd2b5f3279717772aeb88b8b42d9cbd0bb2ca5b4692244433",
    ),
    _shipped(
        "REACTDistillBrainFLAIR.nrrd",
        "Brain FLAIR (synthetic)",
        "85998fb315d02d4458a154af9a6c5b50f555e7f767b2d107ca0e71e2197d884b",
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
    public = _sample(PUBLIC_SAMPLE, PUBLIC_FILES, "REACTDistillPublicCT.png")
    for sample in (_clickable(_phantomSample()), _clickable(_brainSample()), public):
        if sample["sampleName"] not in known:
            SampleDataLogic.registerCustomSampleDataSource(category=CATEGORY, **sample)


def loadPhantom() -> tuple[Any, Any]:
    """The shipped phantom of a liver as new nodes: (CT, segmentation with the segments "liver" and "tumor").

    Both are marked as synthetic. Raises ValueError with one sentence when a file is damaged or cannot be read.
    """
    ctVolume, segmentation = _loaded(_phantomSample())
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(ctVolume)
    ctVolume.GetDisplayNode().AutoWindowLevelOff()
    ctVolume.GetDisplayNode().SetWindowLevelMinMax(*_LIVER_WINDOW_HU)
    return ctVolume, segmentation


def loadBrainPhantom() -> tuple[Any, Any, Any, Any]:
    """The shipped phantom of a brain with a glioma as new nodes: (T1, T1ce, T2, FLAIR), all marked as synthetic.

    Raises ValueError with one sentence when a file is damaged or cannot be read.
    """
    t1, t1ce, t2, flair = _loaded(_brainSample())
    return t1, t1ce, t2, flair


def _loaded(sample: dict[str, Any]) -> list[Any]:
    """The nodes of a shipped sample, marked as synthetic; either all or, with a ValueError, none."""
    from SampleData import SampleDataLogic, SampleDataSource

    nodes = SampleDataLogic().downloadFromSource(SampleDataSource(**sample))
    if len(nodes) != len(sample["fileNames"]) or None in nodes:
        for node in filter(None, nodes):
            slicer.mrmlScene.RemoveNode(node)
        raise ValueError(_("The phantom could not be loaded (see the log): install the extension again."))
    for node in nodes:
        node.SetAttribute(SYNTHETIC_ATTRIBUTE, "1")
    return list(nodes)


def _phantomSample() -> dict[str, Any]:
    return _sample(PHANTOM_SAMPLE, PHANTOM_FILES, "REACTDistillPhantom.png")


def _brainSample() -> dict[str, Any]:
    return _sample(BRAIN_SAMPLE, BRAIN_FILES, "REACTDistillBrain.png")


def _clickable(sample: dict[str, Any]) -> dict[str, Any]:
    return {**sample, "customDownloader": _loadFromPanel}


def _loadFromPanel(source: Any) -> None:
    """What a click on a phantom does."""
    try:
        loadBrainPhantom() if source.sampleName == BRAIN_SAMPLE else loadPhantom()
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
