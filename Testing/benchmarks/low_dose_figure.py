"""Draw the published and the physical model of low-dose CT side by side over the doses, with the noise measured.

Without ``--ct`` a slice of a phantom is taken, and the figure says that it is synthetic. The noise is what the dose
adds; its standard deviation and the shift of the mean are measured in ``--region`` (a mask), else in the liver of the
phantom or in the soft tissue (0 to 200 HU) of the slice.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from REACTDistillLib.files import read_volume
from REACTDistillLib.geometry import resample
from REACTDistillLib.lowdose import DOSES, low_dose_series
from REACTDistillLib.phantom import draw_patient, phantom_case, phantom_grid, sample
from REACTDistillLib.volume import Box, Volume

WINDOW_HU = (-160.0, 240.0)
NOISE_WINDOW_HU = (-150.0, 150.0)
SOFT_TISSUE_HU = (0.0, 200.0)
MODELS = {"line_integrals": "published (R3)", "transmission": "physical (R3′)"}
COLORS = {"line_integrals": "#c0504d", "transmission": "#1f6fb2"}
PHANTOM_PIXELS = 384
FINEST_BANDS = 24


@dataclass(frozen=True, eq=False)
class Slice:
    """One axial slice, the mask to measure in, and what the figure calls it."""

    ct: Volume
    region: NDArray[np.bool_]
    title: str
    region_name: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="PNG file to write")
    parser.add_argument("--ct", type=Path, help="folder or file of a CT; without it a phantom is drawn")
    parser.add_argument("--region", type=Path, help="mask to measure in; its largest slice is drawn")
    parser.add_argument("--seed", type=int, default=1, help="of the noise, and of the phantom")
    arguments = parser.parse_args()
    shown = real_slice(arguments.ct, arguments.region) if arguments.ct else phantom_slice(arguments.seed)
    results = {}
    for model in MODELS:
        start = time.perf_counter()
        results[model] = low_dose_series(shown.ct, DOSES, model=model, seed=arguments.seed)
        print(f"{model}: {time.perf_counter() - start:.1f} s for {len(DOSES)} doses of {shown.ct.grid.shape_kji}")
        for dose, result in zip(DOSES, results[model], strict=True):
            deviation, shift = noise_in(shown, result)
            print(f"  dose {dose:g}: noise {deviation:.2f} HU, mean shifted by {shift:+.2f} HU")
    draw(shown, results, arguments.out)


def phantom_slice(seed: int) -> Slice:
    """The slice of a phantom with most of its tumor, in fine pixels."""
    patient = draw_patient(seed)
    coarse = phantom_case(seed)
    k = int(coarse.regions["tumor"].array_kji.sum(axis=(1, 2)).argmax())
    depth = coarse.sequences["ct"].grid.shape_kji[0]
    grid = phantom_grid(patient, (depth, PHANTOM_PIXELS, PHANTOM_PIXELS))
    one = grid.cropped(Box((k, 0, 0), (k + 1, PHANTOM_PIXELS, PHANTOM_PIXELS)))
    case = sample(patient, one)
    return Slice(case.sequences["ct"], case.regions["liver"].array_kji, f"SYNTHETIC phantom {seed}", "liver")


def real_slice(path: Path, region_path: Path | None) -> Slice:
    """The slice of a CT with most of the region, or with most soft tissue."""
    ct = read_volume(path)
    if region_path:
        mask_kji = resample(read_volume(region_path), ct.grid, interpolation="nearest").array_kji > 0.5
    else:
        mask_kji = (ct.array_kji > SOFT_TISSUE_HU[0]) & (ct.array_kji < SOFT_TISSUE_HU[1])
    k = int(mask_kji.sum(axis=(1, 2)).argmax())
    box = Box((k, 0, 0), (k + 1, *ct.grid.shape_kji[1:]))
    return Slice(ct.cropped(box), mask_kji[k : k + 1], f"CT, slice {k}", "given mask" if region_path else "soft tissue")


def noise_in(shown: Slice, result: Volume) -> tuple[float, float]:
    """Standard deviation and mean of what was added in the region, in HU."""
    added = (result.array_kji - shown.ct.array_kji)[shown.region]
    return float(added.std()), float(added.mean())


def draw(shown: Slice, results: dict[str, list[Volume]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure = plt.figure(figsize=(13.5, 7.2), layout="constrained")
    pictures, plots = figure.subfigures(2, 1, height_ratios=(2.1, 1))
    grid = pictures.subplots(len(MODELS), len(DOSES) + 1)
    for row, model in zip(grid, MODELS, strict=True):
        draw_row(row, shown, results[model], model)
    deviations, spectra, *alone = plots.subplots(1, 4, width_ratios=(1.3, 1.3, 0.8, 0.8))
    draw_deviations(deviations, shown, results)
    draw_spectra(spectra, shown, results)
    for axes, model in zip(alone, MODELS, strict=True):
        show(axes, results[model][-1].array_kji[0] - shown.ct.array_kji[0], shown, NOISE_WINDOW_HU)
        axes.set_title(f"noise alone, dose {DOSES[-1]:,.0f}", color=COLORS[model])
        axes.set_xlabel(MODELS[model], color=COLORS[model])
    figure.suptitle(f"Simulated low-dose CT: {shown.title}. Noise sd and mean shift measured in: {shown.region_name}")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_row(row: Any, shown: Slice, results: list[Volume], model: str) -> None:
    """The slice as it is, then at each dose, with the numbers below."""
    show(row[0], shown.ct.array_kji[0], shown, WINDOW_HU)
    row[0].set_title("as scanned" if "SYNTHETIC" not in shown.title else "as made")
    row[0].set_ylabel(MODELS[model], color=COLORS[model], fontsize=11, fontweight="bold")
    original = shown.ct.array_kji[shown.region]
    row[0].set_xlabel(f"own sd {original.std():.1f} HU\nmean {original.mean():.1f} HU")
    for axes, dose, result in zip(row[1:], DOSES, results, strict=True):
        show(axes, result.array_kji[0], shown, WINDOW_HU)
        deviation, shift = noise_in(shown, result)
        axes.set_title(f"dose {dose:,.0f}")
        axes.set_xlabel(f"added sd {deviation:.1f} HU\nmean {round(shift, 2) + 0.0:+.2f} HU")


def show(axes: Any, image_ji: NDArray[Any], shown: Slice, window_hu: tuple[float, float]) -> None:
    """The body in a slice seen from the feet: right of the patient on the left, front at the top."""
    grid = shown.ct.grid
    rows, columns = (np.flatnonzero(line) for line in body_lines(shown.ct.array_kji[0]))
    image_ji = image_ji[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if grid.ijk_to_ras[0, 0] > 0:
        image_ji = image_ji[:, ::-1]
    if grid.ijk_to_ras[1, 1] > 0:
        image_ji = image_ji[::-1]
    across, down = grid.spacing_ijk_mm[:2]
    axes.imshow(image_ji, cmap="gray", vmin=window_hu[0], vmax=window_hu[1], aspect=down / across)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def body_lines(hu_ji: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The rows and the columns that hold body, the largest component above -300 HU; the table is another one."""
    dense = sitk.ConnectedComponent(sitk.GetImageFromArray((hu_ji > -300).astype(np.uint8)))
    body = sitk.GetArrayFromImage(sitk.RelabelComponent(dense)) == 1
    return body.any(axis=1), body.any(axis=0)


def draw_deviations(axes: Any, shown: Slice, results: dict[str, list[Volume]]) -> None:
    for model, name in MODELS.items():
        deviations = [noise_in(shown, result)[0] for result in results[model]]
        axes.loglog(DOSES, deviations, "o-", color=COLORS[model], label=name)
    axes.set(xlabel="dose (falls to the right)", ylabel="added noise, sd in HU", title="noise over dose")
    axes.invert_xaxis()
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)


def draw_spectra(axes: Any, shown: Slice, results: dict[str, list[Volume]]) -> None:
    """Noise power over spatial frequency at the highest and lowest dose, in the largest square of the region."""
    square = largest_square(shown.region[0])
    for model, name in MODELS.items():
        for dose, result, style in ((DOSES[0], results[model][0], ":"), (DOSES[-1], results[model][-1], "-")):
            added = (result.array_kji[0] - shown.ct.array_kji[0])[square]
            frequency, power = noise_power(added, float(shown.ct.grid.spacing_ijk_mm[0]))
            axes.semilogy(frequency, power, style, color=COLORS[model], label=f"{name}, dose {dose:,.0f}")
    axes.set(xlabel="spatial frequency in 1/mm", ylabel="noise power in HU² mm²", title="noise power spectrum")
    axes.legend(frameon=False, fontsize=7, ncols=2, loc="center", bbox_to_anchor=(0.53, 0.6))
    axes.grid(alpha=0.3)


def largest_square(mask_ji: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The largest square inside the mask: the size of the one that ends at a voxel follows from its three neighbors."""
    sizes = np.zeros(tuple(n + 1 for n in mask_ji.shape), int)
    for j, i in np.argwhere(mask_ji):
        sizes[j + 1, i + 1] = 1 + min(sizes[j, i], sizes[j, i + 1], sizes[j + 1, i])
    j, i = np.unravel_index(sizes.argmax(), sizes.shape)
    side = sizes[j, i]
    return slice(j - side, j), slice(i - side, i)


def noise_power(added_ji: NDArray[Any], pixel_mm: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean power of the noise in rings of spatial frequency, in 1/mm and HU^2 mm^2."""
    side = len(added_ji)
    power = np.abs(np.fft.fft2(added_ji - added_ji.mean())) ** 2 * pixel_mm**2 / side**2
    along = np.fft.fftfreq(side, pixel_mm)
    frequency = np.hypot(along[:, None], along[None])
    edges = np.linspace(0, 0.5 / pixel_mm, min(FINEST_BANDS, side // 3) + 1)
    band = np.digitize(frequency, edges)
    bands = range(1, len(edges))
    return (edges[1:] + edges[:-1]) / 2, np.array([power[band == one].mean() for one in bands])


if __name__ == "__main__":
    main()
