"""Teachers, and a run with them, small enough for tests."""

from REACTDistillLib.trainingconfig import TrainingConfig

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

TRAINING = {
    "privileged": {"pet_fdg": {"kind": "organ_ratio"}, "pet_acetate": {"kind": "organ_ratio"}},
    "teacher": TINY_TEACHER,
    "doses": [1e5, 1e3],
    "student_dose": 0.5,
    "teacher_share": 0.5,
}
CONFIG = TrainingConfig(
    epochs=4,
    steps_per_epoch=6,
    batch_size=4,
    learning_rate=2e-3,
    settings={
        "grid_shape_kji": [8, 8, 8],
        "grid_spacing_kji_mm": [30.0, 30.0, 30.0],
        "network": {"classes": 3, "sequences": 3, "stem_stride": [1, 1, 1], "channels": [4, 8], "strides": [1]},
        "sequences": {"required": ["ct"], "optional": ["pet_fdg", "pet_acetate"]},
        "intensity": {
            "ct": {"kind": "window_zscore", "low": -160.0, "high": 240.0, "statistics": "liver"},
            "pet_fdg": {"kind": "organ_ratio"},
            "pet_acetate": {"kind": "organ_ratio"},
        },
        "training": TRAINING,
    },
)
