"""A student in the formats of others: ONNX file and MONAI Bundle, both with its card; no pickle in either."""

from __future__ import annotations

import copy
import io
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .atomic import new_folder, write_file
from .card import Card, canonical_json, shown
from .errors import missing_package
from .finding import NOT_A_MEDICAL_DEVICE
from .student import save_student

if TYPE_CHECKING:
    from torch import Tensor

    from .loadedstudent import Student
    from .recipes.reactkd.networks import GradeStudent

INPUTS = ("image", "pools")
PRESENT = "present"  # a third input of students that take several sequences
OUTPUTS = ("logits", "features", "pooled", "attention")
_OPSET = 17
_MONAI_VERSION = "1.6.1"  # the version whose parser has read these configs; the tests run with it
_METADATA_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)


def export_onnx(student: Student, path: Path | str) -> Path:
    """Write ``student`` as one ONNX file and return its path; a file that is there is replaced.

    Inputs, float32 and prepared as the card says: ``image`` (B, S, D, H, W), ``pools`` (B, 3, d, h, w) and, for a
    student of several sequences, ``present`` (B, S), 1 for those that a case has. D, H, W are those of the card, B is
    free. Outputs: ``logits`` (B, K), before the temperature of the card, ``features`` (B, C, d, h, w), ``pooled``
    (B, F), what the head sees, and ``attention`` (B, 1, d, h, w). The metadata of the model hold the ``card`` as JSON
    and a ``notice``. The file appears complete or not at all. Raises ValueError when the package onnx is missing,
    ``path`` does not end in ".onnx" or the student is not a grade student.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f'An ONNX file must end in ".onnx", got "{path.name}"; choose another name.')
    onnx = _onnx()
    network = _grade_network(student)
    content = _with_card(onnx, _traced(network, _example(network, student.card)), student.card)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, content)
    return path


def export_bundle(student: Student, folder: Path | str) -> Path:
    """Write ``student`` as a MONAI Bundle into a new ``folder`` and return its path.

    ``configs/metadata.json`` describes inputs and outputs and holds the card; ``configs/inference.json`` builds the
    network ("network_def") and grades one case ("run"); ``models/model.safetensors`` is a student file with the card;
    ``docs/README.md`` is for people. The folder appears complete or not at all. Raises ValueError when ``folder`` is a
    file or not empty, the student is not a grade student or its card holds text that MONAI would execute.
    """
    folder = Path(folder).resolve()  # so that "." has a name and a parent
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(f'"{folder}" exists and is not an empty folder; name a new folder for the bundle.')
    network = _grade_network(student)
    configs = {"metadata.json": _metadata(network, student.card), "inference.json": _inference(network, student.card)}
    with new_folder(folder) as temporary:
        _write_bundle(temporary, network, student.card, configs)
    return folder


def _grade_network(student: Student) -> GradeStudent:
    """A copy of the network on the CPU."""
    from .recipes.reactkd.networks import GradeStudent

    if not isinstance(student.network, GradeStudent):
        raise ValueError(
            f'"{student.card.name}" holds a {type(student.network).__name__}; only a GradeStudent can be exported.'
        )
    return copy.deepcopy(student.network).cpu().eval()


def _pool_shape_kji(network: GradeStudent, card: Card) -> list[int]:
    return [-(-size // stride) for size, stride in zip(card.grid_shape_kji, network.stride_kji, strict=True)]


def _example(network: GradeStudent, card: Card) -> tuple[Tensor, ...]:
    import torch

    from .recipes.reactkd.networks import POOLS

    count = len(network.stems)
    image = torch.zeros(1, count, *card.grid_shape_kji)
    pools = torch.ones(1, len(POOLS), *_pool_shape_kji(network, card))
    return (image, pools) if count == 1 else (image, pools, torch.ones(1, count))


def _traced(network: GradeStudent, example: tuple[Tensor, ...]) -> bytes:
    import torch

    inputs = [*INPUTS, PRESENT][: len(example)]

    stream = io.BytesIO()
    with warnings.catch_warnings():
        # The newer exporter needs onnxscript besides, and gives nothing more for a network without branches.
        warnings.simplefilter("ignore", DeprecationWarning)
        # With all sequences present no stem is left out, so the trace holds for every subset.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(
            network,
            example,
            stream,  # type: ignore[arg-type]  # a path is declared, a stream is taken with dynamo=False
            dynamo=False,
            opset_version=_OPSET,
            input_names=inputs,
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "batch"} for name in [*inputs, *OUTPUTS]},
        )
    return stream.getvalue()


def _with_card(onnx: Any, content: bytes, card: Card) -> bytes:
    model = onnx.load_model_from_string(content)
    onnx.helper.set_model_props(model, {"card": canonical_json(card.to_json()), "notice": NOT_A_MEDICAL_DEVICE})
    onnx.checker.check_model(model)
    whole: bytes = model.SerializeToString(deterministic=True)
    return whole


def _onnx() -> Any:
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ValueError(missing_package("onnx")) from error
    return onnx


# MONAI Bundle.


def _write_bundle(folder: Path, network: GradeStudent, card: Card, configs: dict[str, dict[str, Any]]) -> None:
    for name in ("configs", "models", "docs"):
        (folder / name).mkdir()
    for name, content in configs.items():
        (folder / "configs" / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    save_student(folder / "models" / "model.safetensors", network, card)
    (folder / "docs" / "README.md").write_text(_readme(card), encoding="utf-8")


def _metadata(network: GradeStudent, card: Card) -> dict[str, Any]:
    import numpy
    import safetensors
    import torch

    return {
        "schema": _METADATA_SCHEMA,
        "version": _inert(card.version),
        "changelog": {card.version: f"Exported by reactdistill {__version__}."},
        "monai_version": _MONAI_VERSION,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": numpy.__version__,
        "required_packages_version": {"reactdistill": __version__, "safetensors": safetensors.__version__},
        "name": _inert(card.name),
        "task": f"Tumor imaging: {card.task}",
        "description": f"Student network ({card.recipe}) for {card.task} from {', '.join(card.sequences['required'])}. "
        f"{NOT_A_MEDICAL_DEVICE}",
        "authors": "See the card.",
        "copyright": f"License: {card.licence}",
        "intended_use": f"{NOT_A_MEDICAL_DEVICE} {card.intended_use} {card.limitations}",
        "network_data_format": _network_data_format(network, card),
        # As text, not as objects: MONAI would take strings in it that begin with "$" as Python.
        "card": canonical_json(card.to_json()),
        "card_sha256": card.sha256,
    }


def _network_data_format(network: GradeStudent, card: Card) -> dict[str, Any]:
    from .recipes.reactkd.networks import POOLS

    features = _pool_shape_kji(network, card)
    channels = network.cbam.channel.grow.out_channels
    classes = [_inert(name) for name in card.classes]
    names = (*card.sequences["required"], *card.sequences["optional"])
    sequences, there = [_inert(f"prepared {name}") for name in names], [_inert(f"{name} is there") for name in names]
    return {
        "inputs": {
            "image": {**_tensor("image", list(card.grid_shape_kji), sequences), "modality": "CT"},
            "pools": _tensor("probabilities", features, list(POOLS), value_range=[0, 1]),
            **({PRESENT: _tensor("probabilities", [], there, value_range=[0, 1])} if len(there) > 1 else {}),
        },
        "outputs": {
            "pred": _tensor("logits", [], classes),
            "pooled": _tensor("features", [], [f"pooled {index}" for index in range(network.head.in_features)]),
            "features": _tensor("features", features, [f"feature {index}" for index in range(channels)]),
            "attention": _tensor("probabilities", features, ["spatial attention"], value_range=[0, 1]),
        },
    }


def _tensor(
    kind: str, spatial_shape: list[int], channels: list[str], *, value_range: list[float] | None = None
) -> dict[str, Any]:
    """One entry of MONAI's metadata; ``spatial_shape`` in K, J, I, an empty ``value_range`` means unbounded."""
    return {
        "type": kind,
        "format": kind,
        "num_channels": len(channels),
        "spatial_shape": spatial_shape,
        "dtype": "float32",
        "value_range": value_range or [],
        "is_patch_data": False,
        "channel_def": {str(index): name for index, name in enumerate(channels)},
    }


def _inference(network: GradeStudent, card: Card) -> dict[str, Any]:
    kind = type(network)
    config = {name: _inert(value) for name, value in card.network["config"].items()}
    return {
        "bundle_root": ".",
        "device": "cpu",
        "ct": "ct.nii.gz",
        "liver": "liver.nii.gz",
        "tumor": None,
        "output_dir": "result",
        "network_def": {**config, "_target_": f"{kind.__module__}.{kind.__qualname__}"},
        "student": {
            "_target_": "REACTDistillLib.student.load_student",
            "path": "$@bundle_root + '/models/model.safetensors'",
            "device": "@device",
        },
        "network": "$@student.network",
        "case": {
            "_target_": "REACTDistillLib.casefiles.case_from_files",
            "ct": "@ct",
            "liver": "$[@liver]",
            "tumor": "$[@tumor] if @tumor else None",
        },
        "finding": {"_target_": "REACTDistillLib.predict.predict", "case": "@case", "student": "@student"},
        "run": ["$@finding.save(@output_dir)"],
    }


def _inert(value: Any) -> Any:
    """``value`` from a card, refused when MONAI would execute it, resolve it or read a file for it."""
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and (text.startswith(("$", "%")) or "@" in text):
            raise ValueError(
                f'{shown(text)} stands in the card, but in a MONAI Bundle "$", "%" and "@" are instructions; '
                "the student cannot be exported as one."
            )
    return value


def _readme(card: Card) -> str:
    k, j, i = card.grid_shape_kji
    spacing = " x ".join(f"{mm:g}" for mm in card.grid_spacing_kji_mm)
    return f"""# {card.name} {card.version}

**{NOT_A_MEDICAL_DEVICE}**

{card.intended_use} {card.limitations}

- Classes: {", ".join(card.classes)}
- Sequences: {", ".join(card.sequences["required"])}; regions: {", ".join(card.regions["required"])}, optional \
{", ".join(card.regions["optional"]) or "none"}
- Grid (K, J, I): {k} x {j} x {i} voxels of {spacing} mm
- License: {card.licence}

The network takes prepared tensors (intensity rule and regions as in the card, `configs/metadata.json`), not raw CT.
The package `reactdistill` prepares them, and must be installed; MONAI's command line needs `fire` too.
In the folder of this bundle:

```
python -m monai.bundle run --config_file configs/inference.json --ct ct.nii.gz --liver liver.nii.gz --output_dir result
reactdistill predict --student models/model.safetensors --ct ct.nii.gz --liver liver.nii.gz --out result
```

`models/model.safetensors` is a student file: its header carries the card, and its tensors are checked when it is read.
"""
