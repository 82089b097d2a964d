"""The demo as a newcomer runs it: two pages, their pictures, scenes and findings."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")


def test_the_demo_grades_a_liver_and_segments_a_brain_without_t1ce(tmp_path) -> None:
    command = [sys.executable, "-m", "REACTDistillScene.demo", "--out", str(tmp_path / "demo")]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("index.html") == 2
    for folder, title in ((tmp_path / "demo", "Tumor grade"), (tmp_path / "demo" / "brain", "Brain tumor")):
        page = (folder / "index.html").read_text(encoding="utf-8")
        assert title in page
        assert "not a medical device" in page
        assert "The images are synthetic" in page
        pictures = re.findall(r'src="([^"]+)"', page)
        assert len(pictures) >= 3
        for name in [*pictures, "scene.mrb", "finding/finding.json"]:
            assert (folder / name).stat().st_size > 1000
    finding = json.loads((tmp_path / "demo" / "brain" / "finding" / "finding.json").read_text(encoding="utf-8"))
    assert list(finding["segmentation"]["volumes_ml"]) == ["WT", "TC", "ET"]
    assert finding["segmentation"]["expectation"]["given"] == ["t1", "t2", "flair"]
    assert finding["segmentation"]["expectation"]["helps_most"] == "t1ce"
    dice = dict(re.findall(r"<td>(WT|TC|ET)</td><td[^>]*>[\d.]+</td><td[^>]*>([\d.]+)</td>", page))
    assert float(dice["WT"]) > 0.6  # found where the synthetic tumor is
