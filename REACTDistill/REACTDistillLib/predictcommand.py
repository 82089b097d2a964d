"""The command ``reactdistill predict``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .casefiles import case_from_named_files
from .finding import Finding, check_result_folder
from .progress import ProgressCallback, json_progress, write_event
from .tumorlabels import CONVENTIONS, DEFAULT

_REGION_HELP = (
    "mask file, DICOM SEG, RTSTRUCT or folder; FILE:NAME or FILE:5 takes one region out of it; "
    "given several times, the regions are joined"
)


def add_predict(parser: argparse.ArgumentParser, text_progress: ProgressCallback) -> None:
    """Options of ``reactdistill predict``."""
    _add_images(parser)
    parser.add_argument("--student", help="student file; the demo student of this version when left out")
    parser.add_argument("--out", required=True, type=Path, help="new folder for the result")
    parser.add_argument("--overwrite", action="store_true", help="replace the result that is in the folder")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--reference", help="sequence on whose grid masks are given; the finest when left out")
    parser.add_argument("--probabilities", action="store_true", help="write the probability maps of a segmentation too")
    parser.add_argument("--labels", default=DEFAULT, choices=list(CONVENTIONS), help="values in the label map")
    parser.add_argument("--progress", default="text", choices=["text", "json"], help="json: one event a line on stdout")
    parser.set_defaults(run=lambda options: _predict(options, text_progress))


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sequence",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="image by name (ct, t1, t1ce, t2, flair): NIfTI, NRRD, MetaImage or a DICOM folder; once for each",
    )
    parser.add_argument("--ct", help="the same as --sequence ct=FILE")
    parser.add_argument("--series", help="series instance UID, when the DICOM folder holds several")
    parser.add_argument("--region", action="append", default=[], metavar="NAME=FILE", help=f"by name, {_REGION_HELP}")
    parser.add_argument("--liver", action="append", default=[], help="the same as --region liver=FILE")
    parser.add_argument("--tumor", action="append", default=[], help="the same as --region tumor=FILE")


def _predict(options: argparse.Namespace, text_progress: ProgressCallback) -> None:
    from .predict import predict
    from .shipped import demo_student
    from .student import read_card

    check_result_folder(options.out)
    if options.out.is_dir() and any(options.out.iterdir()) and not options.overwrite:
        raise ValueError(f'"{options.out}" holds a result; name a new folder, or replace it by --overwrite.')
    sequences, regions = _images_of(options), _regions_of(options)
    student = options.student or demo_student("grade" if "ct" in sequences else "segment")
    if read_card(student).task == "grade" and (options.reference or options.probabilities or options.labels != DEFAULT):
        raise ValueError("--reference, --probabilities and --labels are for students that segment; this one grades.")
    finding = predict(
        case_from_named_files(sequences, regions, series=options.series),
        student,
        device=options.device,
        progress=json_progress if options.progress == "json" else text_progress,
        reference=options.reference,
        with_probabilities=options.probabilities,
    )
    folder = finding.save(options.out, convention=options.labels)
    if options.progress == "json":
        write_event("result", folder=str(folder))
    else:
        _print_finding(finding, folder)


def _images_of(options: argparse.Namespace) -> dict[str, str]:
    given = [_named(text, "--sequence") for text in options.sequence]
    if options.ct is not None:
        given.append(("ct", options.ct))
    names = [name for name, _ in given]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'The sequence "{twice[0]}" was given twice; give each one once.')
    return dict(given)


def _regions_of(options: argparse.Namespace) -> dict[str, Sequence[str]]:
    regions: dict[str, list[str]] = {}
    given = [_named(text, "--region") for text in options.region]
    given += [("liver", file) for file in options.liver] + [("tumor", file) for file in options.tumor]
    for name, specification in given:
        regions.setdefault(name, []).append(specification)
    return dict(regions)


def _named(text: str, option: str) -> tuple[str, str]:
    name, sign, file = text.partition("=")
    if not name or not sign:
        raise ValueError(f'{option} needs NAME=FILE, such as {option} t1ce=image.nii.gz; got "{text}".')
    return name, file


def _print_finding(finding: Finding, folder: Path) -> None:
    for name, probability in finding.probabilities.items():
        print(f"{name:>12}  {probability:.4f}")
    _print_graph(finding)
    _print_segmentation(finding)
    print()
    for notice in finding.notices():
        print(notice)
    made_by = finding.provenance
    print(
        f"{made_by.student} {made_by.student_version} on {made_by.device}, {made_by.seconds:.2f} s; written to {folder}"
    )


def _print_graph(finding: Finding) -> None:
    if finding.graph is None:
        return
    print(f"\n{'region':>12}  {'ml':>8}  importance")
    for name, volume, value in zip(
        finding.graph.names, finding.graph.volumes_ml, finding.graph.importance, strict=True
    ):
        print(f"{name:>12}  {volume:8.1f}  {value:+.3f}")


def _print_segmentation(finding: Finding) -> None:
    if finding.segmentation is None:
        return
    print(f"{'region':>12}  {'ml':>8}")
    for name, volume in finding.segmentation.volumes_ml.items():
        print(f"{name:>12}  {volume:8.1f}")
    if finding.segmentation.expectation is not None:
        print(f"\n{finding.segmentation.expectation['sentence']}")
