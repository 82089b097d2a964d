"""Small DICOM files made for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

AXIAL = (1, 0, 0, 0, 1, 0)
TILTED = (1, 0, 0, 0, 0.8, -0.6)  # rows to the left, columns to posterior and down; normal (0, 0.6, 0.8)
STUDY, FRAME_OF_REFERENCE = generate_uid(), generate_uid()


def ct_slice(pixels: np.ndarray, position: tuple[float, ...], **tags: Any) -> Dataset:
    """One CT slice of int16 ``pixels`` (rows, columns), first pixel at ``position`` (LPS mm); ``tags`` go on top."""
    dataset = _image(CTImageStorage, pixels)
    dataset.Modality = "CT"
    dataset.PatientName = "Doe^Jane"
    dataset.ImagePositionPatient = list(position)
    dataset.ImageOrientationPatient = list(AXIAL)
    dataset.PixelSpacing = [0.5, 0.25]
    dataset.SliceThickness = 4
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    for keyword, value in tags.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def save_series(folder: Path, slices: list[Dataset], *, uid: str = "1.2.3") -> Path:
    """Save ``slices`` under names whose order is the reverse of the list."""
    folder.mkdir(exist_ok=True)
    for index, dataset in enumerate(slices):
        dataset.SeriesInstanceUID = uid
        save(dataset, folder / f"{len(slices) - index:04d}")
    return folder


def enhanced_mr(frames: np.ndarray, positions: list[tuple[float, ...]], slopes: list[float]) -> Dataset:
    """A multi-frame image of int16 ``frames`` (frames, rows, columns) with the position and the scale of each frame."""
    dataset = _image(EnhancedMRImageStorage, frames)
    dataset.Modality = "MR"
    dataset.NumberOfFrames = len(frames)
    shared = Dataset()
    shared.PlaneOrientationSequence = Sequence([_item(ImageOrientationPatient=list(AXIAL))])
    shared.PixelMeasuresSequence = Sequence([_item(PixelSpacing=[0.5, 0.25], SliceThickness=3)])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for position, slope in zip(positions, slopes, strict=True):
        group = Dataset()
        group.PlanePositionSequence = Sequence([_item(ImagePositionPatient=list(position))])
        transform = _item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="US")
        group.PixelValueTransformationSequence = Sequence([transform])
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return dataset


def rtstruct(regions: dict[str, list[list[tuple[float, ...]]]], kind: str = "CLOSED_PLANAR") -> Dataset:
    """Contours by region name; each contour is a list of points in LPS mm."""
    dataset = _dataset("1.2.840.10008.5.1.4.1.1.481.3")
    dataset.Modality = "RTSTRUCT"
    dataset.StructureSetROISequence = Sequence(
        [_item(ROINumber=number, ROIName=name) for number, name in enumerate(regions, 1)]
    )
    rois = []
    for number, contours in enumerate(regions.values(), 1):
        roi = _item(ReferencedROINumber=number)
        roi.ContourSequence = Sequence([_contour(points, kind) for points in contours])
        rois.append(roi)
    dataset.ROIContourSequence = Sequence(rois)
    return dataset


def _contour(points: list[tuple[float, ...]], kind: str) -> Dataset:
    return _item(
        ContourGeometricType=kind,
        NumberOfContourPoints=len(points),
        ContourData=[value for point in points for value in point],
    )


def _item(**tags: Any) -> Dataset:
    item = Dataset()
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return item


def _dataset(sop_class: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = STUDY, FRAME_OF_REFERENCE
    dataset.PatientID, dataset.StudyID, dataset.AccessionNumber = "1", "1", "1"
    dataset.PatientBirthDate = dataset.PatientSex = dataset.ReferringPhysicianName = ""
    dataset.StudyDate, dataset.StudyTime = "20200101", "120000"
    return dataset


def _image(sop_class: str, pixels: np.ndarray) -> Dataset:
    dataset = _dataset(sop_class)
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.PixelData = pixels.astype("<i2").tobytes()
    return dataset
