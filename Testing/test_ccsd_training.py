"""One training step of CCSD and of its baselines, on small tensors; settings; scores of all subsets."""

import math

import pytest
import torch
from REACTDistillLib.recipes import recipe_named
from REACTDistillLib.recipes.ccsd.curriculum import METHODS, Curriculum
from REACTDistillLib.recipes.ccsd.peakmemory import stated_memory
from REACTDistillLib.recipes.ccsd.scores import SubsetDice, mean_scores, subset_dice
from REACTDistillLib.recipes.ccsd.subsets import all_subsets, subsets_of

RECIPE = recipe_named("ccsd")
CLASSES = ("WT", "TC")
SIZE = (8, 8, 8)
TARGETS = {"targets": {"WT": "wt", "TC": "tc"}}
EVERY_CHOICE = [
    {},
    {"teacher": "adjacent", "subsets": "all"},
    {"criticality": "exact", "hmsd": 0.0},
    {"dmcd": 0.0},
    *({"method": name} for name in METHODS if name not in ("ccsd", "one_model_per_subset")),
    {"method": "one_model_per_subset", "only": ["t1ce", "flair"]},
]


def prepared(training):
    network = {"channels": [4, 8], "stem_stride": [1, 1, 1]}
    return RECIPE.preparation(CLASSES, grid_shape_kji=SIZE, network=network, training={**TARGETS, **training})


def blob(seed, present=(True, True, True, True), shape=SIZE):
    """A tumor that the last two sequences show: a bright box in noise, its lower half the core."""
    stream = torch.Generator().manual_seed(seed)
    target = torch.zeros(2, *shape)
    corner = torch.randint(1, 4, (3,), generator=stream).tolist()
    box = tuple(slice(start, start + 4) for start in corner)
    target[(0, *box)] = 1.0
    target[(1, slice(corner[0], corner[0] + 2), *box[1:])] = 1.0
    image = 0.3 * torch.randn(4, *shape, generator=stream)
    image[2] += target[1]
    image[3] += target[0]
    there = torch.tensor(present)
    return {
        "image": torch.where(there[:, None, None, None], image, 0.0),
        "present": there,
        "brain": torch.ones(shape, dtype=torch.bool),
        "target": target,
        "known": torch.tensor([True, True]),
        "label": torch.tensor(0),
        "scored": subsets_of(there),
    }


def batch_of(samples, preparation, progress=0.5, seed=0):
    stream = torch.Generator().manual_seed(seed)
    changed = [RECIPE.augment(sample, stream, preparation) for sample in samples]
    batch = {name: torch.stack([one[name] for one in changed]) for name in changed[0]}
    return {**batch, "progress": torch.tensor(progress)}


def started(training, seed=0):
    preparation = prepared(training)
    torch.manual_seed(seed)
    return preparation, RECIPE.networks(preparation), RECIPE.stages(preparation)[0].updates[0]


@pytest.mark.parametrize("training", EVERY_CHOICE, ids=str)
def test_gradients_reach_every_parameter_that_the_settings_use(training):
    preparation, networks, update = started(training)
    present = (False, True, False, True) if "only" in training else (True, True, True, True)
    batch = batch_of([blob(number, present) for number in range(12)], preparation)
    terms = update.loss(networks, batch)
    assert all(bool(torch.isfinite(one)) for one in terms.values())
    sum(terms.values()).backward()
    for name, network in networks.items():
        for parameter, tensor in network.named_parameters():
            absent = "only" in training and parameter.startswith(("specific_encoders.0", "specific_encoders.2"))
            assert tensor.grad is not None, (name, parameter)
            assert bool(tensor.grad.abs().sum() > 0) != absent, (name, parameter)
    assert len(list(update.parameters(networks))) == sum(len(list(one.parameters())) for one in networks.values())


@pytest.mark.parametrize(
    ("training", "names"),
    [
        ({}, ["sampled", "full", "hmsd", "dmcd"]),
        ({"hmsd": 0}, ["sampled", "full", "dmcd"]),
        ({"method": "modality_dropout"}, ["sampled"]),
        ({"method": "shaspec"}, ["sampled", "alignment", "classification"]),
    ],
)
def test_each_method_has_its_terms(training, names):
    preparation, networks, update = started(training)
    assert list(update.loss(networks, batch_of([blob(0)], preparation))) == names


def test_distillation_comes_in_over_the_ramp():
    preparation, networks, update = started({"ramp": 0.2, "criticality": "exact"})
    terms = [update.loss(networks, batch_of([blob(0)], preparation, progress)) for progress in (0.0, 0.1, 0.2, 1.0)]
    hmsd = [one["hmsd"].item() for one in terms]
    assert hmsd[0] == 0.0
    assert hmsd[1] == pytest.approx(hmsd[2] / 2)
    assert hmsd[2] == pytest.approx(hmsd[3])
    assert hmsd[3] > 0


def test_the_full_set_is_taught_by_its_truth_alone():
    preparation, networks, update = started({"hmsd": 1e6, "dmcd": 1e6, "ramp": 0.0})
    network, answers = networks["student"], []
    decode = network.decode

    def remembered(encoded, subset):
        logits = decode(encoded, subset)
        if logits.requires_grad:
            logits.retain_grad()
        answers.append((subset, logits))
        return logits

    network.decode = remembered
    batch = batch_of([blob(0)], preparation)
    terms = update.loss(networks, batch)
    (terms["hmsd"] + terms["dmcd"]).backward()
    full = [logits for subset, logits in answers if subset.all() and logits is not answers[0][1]]
    assert len(full) == 1
    assert full[0].grad is None
    assert sum(logits.grad is not None for _, logits in answers) == 3 + 3


def test_a_case_of_fewer_sequences_learns_from_what_it_has():
    preparation, networks, update = started({"criticality": "exact", "subsets": "all"})
    three, one = (True, False, True, True), (False, False, True, False)
    terms = update.loss(networks, batch_of([blob(1, three), blob(2, one)], preparation))
    assert all(bool(torch.isfinite(term)) for term in terms.values())
    alone = update.loss(networks, batch_of([blob(2, one)], preparation))
    assert alone["hmsd"].item() == alone["dmcd"].item() == 0.0


def test_running_criticality_finds_the_sequence_that_matters():
    preparation, networks, update = started({"hmsd": 0.0, "temperature": 1.0})
    network = networks["student"]
    optimizer = torch.optim.AdamW(update.parameters(networks), 1e-2)
    samples = [blob(number) for number in range(4)]
    losses = []
    for step in range(60):
        terms = update.loss(networks, batch_of(samples, preparation, step / 60, seed=step))
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        losses.append(terms["full"].item())
    assert losses[-1] < losses[0] / 2
    critical = network.criticality.tolist()
    assert min(critical[2:]) > max(critical[:2])
    assert "criticality" in network.state_dict()
    scores = RECIPE.evaluate(network.eval(), [blob(90), blob(91)])
    assert scores["dice_4"] > 0.5
    assert scores["dice_4"] > scores["dice_1"]


def test_scores_over_subsets_by_hand():
    subsets = all_subsets(2)  # (first), (second), (both)
    one = SubsetDice(subsets, torch.tensor([[0.2, math.nan], [0.4, math.nan], [0.9, math.nan]]))
    other = SubsetDice(subsets[:1], torch.tensor([[0.6, 0.4]]))
    scores = mean_scores([one, other])
    # First region: 0.4, 0.4, 0.9; second: 0.4 for the first subset and nothing else.
    assert scores["score"] == scores["dice"] == pytest.approx(((0.4 + 0.4 + 0.9) / 3 + 0.4) / 2)
    assert scores["dice_1"] == pytest.approx((0.4 + 0.4) / 2)
    assert scores["dice_2"] == pytest.approx(0.9)


def test_scores_without_a_case_are_refused():
    with pytest.raises(ValueError, match="There is no case to score"):
        mean_scores([])


def test_every_subset_of_a_case_is_scored_inside_the_brain():
    _, networks, _ = started({})
    sample = blob(0, (True, True, False, True))
    sample["known"] = torch.tensor([True, False])
    sample["brain"] = torch.zeros(SIZE, dtype=torch.bool)
    found = subset_dice(networks["student"].eval(), sample)
    assert found.dice.shape == (7, 2)
    assert found.dice[:, 0].tolist() == [1.0] * 7  # no voxel of the brain: nothing to find, nothing found
    assert bool(found.dice[:, 1].isnan().all())


def test_the_card_gets_a_dice_per_subset_and_class():
    preparation, networks, _ = started({})
    judgment = RECIPE.judge(networks["student"].eval(), preparation, [], [blob(0), blob(1)])
    assert len(judgment.metrics) == 15
    assert set(judgment.metrics["t1ce+flair"]) == {"dice_WT", "dice_TC", "cases"}
    assert judgment.metrics["t1ce+flair"]["cases"] == 2
    assert judgment.memory == stated_memory(preparation, networks["student"].stride_kji)


def test_there_are_no_class_logits_to_read():
    with pytest.raises(ValueError, match="has no class logits"):
        RECIPE.read(torch.nn.Identity(), [])


@pytest.mark.parametrize(
    ("training", "sentence"),
    [
        ({"lambda": 1}, 'unknown field "lambda"'),
        ({"method": "teacher"}, '"method" must be one of'),
        ({"temperature": 0}, '"temperature" must be above 0'),
        ({"hmsd": -1}, 'the weight "hmsd" must be 0 or above'),
        ({"hmsd": "much"}, "a value of the wrong kind"),
        ({"full_set": False}, 'self-distillation needs "full_set"'),
        ({"only": ["t1"]}, '"only" names the sequences'),
        ({"method": "one_model_per_subset"}, '"only" names the sequences'),
    ],
)
def test_settings_that_cannot_be_are_refused(training, sentence):
    with pytest.raises(ValueError, match=sentence):
        Curriculum.from_json(training)


def test_a_baseline_is_a_change_of_defaults_and_no_more():
    assert Curriculum.from_json({"method": "shaspec", "full_set": True}).alignment == 0.1
    assert Curriculum.from_json({"method": "modality_dropout"}).distills is False
    assert Curriculum.from_json({}).distills is True
