"""What the analytic patients are drawn with: anatomy, lesions, shapes, contrast."""
