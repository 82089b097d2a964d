"""What the seed of an analytic patient stands for."""

import numpy as np
import pytest
from REACTDistillLib.phantoms.seed import checked_seed, phantom_identifier, random_stream


def test_a_seed_has_a_name_that_says_that_its_patient_is_synthetic() -> None:
    assert phantom_identifier(7) == "phantom_00007"


@pytest.mark.parametrize("wrong", [-1, 1.0, True, "7", None], ids=repr)
def test_what_is_no_seed_is_refused(wrong) -> None:
    with pytest.raises(ValueError, match=r"a phantom seed must be a whole number of at least 0, got "):
        checked_seed(wrong)


def test_a_seed_may_come_from_an_array() -> None:
    assert type(checked_seed(np.int64(7))) is int


def test_a_stream_is_the_same_each_time_and_differs_by_seed_and_number() -> None:
    draws = [random_stream(seed, number).integers(2**32) for seed, number in ((3, 0), (3, 0), (3, 1), (4, 0))]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3
