"""CCSD: brain tumor segmentation from any subset of MR sequences, by compositional self-distillation."""
