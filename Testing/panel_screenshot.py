"""Picture of the panel after a phantom was graded, on the stand-in host: python Testing/panel_screenshot.py FILE."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "REACTDistill"), str(ROOT / "Testing" / "host")]


def main(path: Path) -> None:
    import hostapp

    hostapp.install(mainWindow=True)
    module, widget, panel = hostapp.openModule(ROOT / "REACTDistill" / "REACTDistill.py")
    module._phantomNodes(seed=3)
    widget.enter()
    hostapp.processEvents(0.1)
    widget.ui.applyButton.click()
    if not hostapp.processEvents(120, until=lambda: not widget.job.isBusy):
        raise SystemExit("The phantom was not graded within two minutes.")
    hostapp.processEvents(0.1)
    panel.resize(460, 10)
    panel.show()
    hostapp.processEvents(0.2)
    panel.resize(460, panel.sizeHint.height())
    hostapp.processEvents(0.2)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not panel.grab().save(str(path)):
        raise SystemExit(f"{path} could not be written.")
    print(f"{widget.ui.statusLabel.text} {path}")
    widget.cleanup()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
