"""REACT-KD: HCC differentiation grade from CT, distilled over a region graph."""
