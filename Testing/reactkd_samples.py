"""Teachers small enough for tests."""

TINY_TEACHER = {
    "feature_size": 4,
    "depths": [1, 1, 1, 1],
    "heads": [2, 2, 2, 2],
    "window_kji": [2, 2, 2],
    "level": 1,
    "finest": 0,
    "attention_channels": 8,
    "pooling": "contrast",
}
