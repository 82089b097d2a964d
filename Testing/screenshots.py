"""A picture of each panel after use on a phantom, on the stand-in host: python Testing/screenshots.py FOLDER."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "REACTDistill"), str(ROOT / "Testing" / "host")]
_WIDTH_PIXELS = 480
_SECONDS = 300.0
_LEFT_OUT = {"MissingModalitySeg": "t1ceVolume"}  # shown with one sequence missing


def photograph(path: Path, folder: Path) -> Path:
    """Open the module file, apply it to its phantom, write ``folder``/<module>.png and return that path.

    Raises SystemExit when that did not work or the picture could not be written.
    """
    import hostapp
    import slicer

    slicer.mrmlScene.Clear(0)
    module, widget, panel = hostapp.openModule(path)
    module._phantomNodes(seed=100_003)  # not among those that the demo students were trained on
    hostapp.processEvents(0.1)
    if path.stem in _LEFT_OUT:
        setattr(widget.logic.getParameterNode(), _LEFT_OUT[path.stem], None)
        hostapp.processEvents(0.1)
    bar = widget.panel.bar
    bar.applyButton.click()
    if not hostapp.processEvents(_SECONDS, until=lambda: not bar.isBusy) or not bar.status.startswith("Done"):
        raise SystemExit(f"{path.stem}: there is no result: {bar.status}")
    picture = folder / f"{path.stem}.png"
    panel.resize(_WIDTH_PIXELS, 10)
    panel.show()
    hostapp.processEvents(0.2)
    panel.resize(_WIDTH_PIXELS, panel.layout().heightForWidth(_WIDTH_PIXELS) or panel.sizeHint.height())
    hostapp.processEvents(0.2)
    if not panel.grab().save(str(picture)):
        raise SystemExit(f"{picture} could not be written.")
    print(f"{picture.name}: {bar.status}")
    return picture


def main(folder: Path) -> None:
    import hostapp

    folder.mkdir(parents=True, exist_ok=True)
    uninstall = hostapp.install(mainWindow=True)
    try:
        for path in sorted(ROOT.glob("*/*.py")):
            if path.stem == path.parent.name:
                photograph(path, folder)
    finally:
        uninstall()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Resources" / "Screenshots")
