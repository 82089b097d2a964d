"""Grading outside of training."""

import subprocess
import sys

PROGRAM = """
import sys
for name in ("astra", "matplotlib", "monai", "ot", "scipy", "sklearn", "onnx"):
    sys.modules[name] = None  # any import of it fails
from REACTDistillLib.phantom import phantom_case
from REACTDistillLib.predict import predict
from REACTDistillLib.shipped import demo_student
finding = predict(phantom_case(1, shape_kji=(24, 24, 24)), demo_student("grade"))
print(round(sum(finding.probabilities.values()), 6))
"""


def test_grading_needs_none_of_the_packages_of_training():
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.strip()) == (0, "1.0"), result.stderr
