"""What each of two processes finds, for the tests of several processes; started by torchrun with a folder to fill."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from REACTDistillLib.parallel import Processes, StoppedByAnother, joined, met_alike


def averaged(processes: Processes) -> dict[str, object]:
    """Three parameters: used in both processes, in the second one only, in none."""
    both, second, none = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    both.grad = torch.tensor([1.0, 2.0]) if processes.is_first else torch.tensor([3.0, 6.0])
    if not processes.is_first:
        second.grad = torch.tensor([8.0, 4.0])
    terms = processes.average([both, second, none], torch.tensor([float(processes.rank), 5.0]))
    grads = [None if one.grad is None else one.grad.tolist() for one in (both, second, none)]
    return {"gradients": grads, "terms": terms.tolist()}


def refused(processes: Processes, failing: tuple[int, ...]) -> str:
    def work() -> int:
        if processes.rank in failing:
            raise ValueError(f"Process {processes.rank} ran out of täpes.")
        return processes.rank

    try:
        return f"returned {processes.together(work)}"
    except StoppedByAnother as error:
        return f"stopped: {error}"
    except ValueError as error:
        return f"raised: {error}"


def alike() -> str:
    try:
        with met_alike():
            raise ValueError("Both.")
    except StoppedByAnother:
        return "silent"
    except ValueError:
        return "speaks"


def stepped(processes: Processes) -> None:
    """One step of an optimizer, as in a training; its first step imports more of torch."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    processes.average([weight], torch.zeros(1))
    optimizer.step()


def threads_of_the_group() -> list[str]:
    """Names of this process's threads that exchange tensors."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


def main(folder: Path) -> None:
    with joined("cpu") as processes, joined("cpu") as again:
        assert processes == again
        found = {
            "averaged": averaged(processes),
            "none fails": refused(processes, ()),
            "second fails": refused(processes, (1,)),
            "both fail": refused(processes, (0, 1)),
            "from first": processes.from_first(0.1 + processes.rank),
            "part": list(processes.part([5, 6, 7, 8])),
            "alike": alike(),
            "threads within": len(threads_of_the_group()),
        }
        stepped(processes)
    found["threads after"] = len(threads_of_the_group())
    (folder / f"{processes.rank}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
