"""Adapter between MRML scene and backend: nodes to Case, Finding to nodes; knows slicer and vtk, never torch."""
