"""Backend of the extension: volumes, cases, students and findings, without any knowledge of 3D Slicer."""

__version__ = "0.1.0"
