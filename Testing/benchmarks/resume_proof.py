"""Kill a training run at random moments (kill -9), resume it each time, compare with a run that was left alone.

Every file of both runs must be the same to the byte: weights, optimizers, log, scores, student. When a run ends before
all kills are spent, another one is begun. Prints one line per run and at the end the number of kills; status 1 when a
file differs.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training_samples import command, contents, killed_and_resumed, toy_cohort, toy_config


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--pause", type=float, default=0.02, help="seconds that each step is made longer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return prove(Path(folder), options)


def prove(folder: Path, options: argparse.Namespace) -> int:
    toy_cohort(folder / "cohort")
    training = {"pause_seconds": options.pause}
    toy_config(folder / "config.json", epochs=options.epochs, checkpoint_steps=2, settings={"training": training})
    started = time.perf_counter()
    subprocess.run(command(folder, "whole"), check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    print(f"left alone: {seconds:.1f} s")
    draws, spent, number = random.Random(options.seed), 0, 0
    while spent < options.kills:
        number += 1
        run = folder / f"killed_{number}"
        kills = options.kills - spent
        done = killed_and_resumed(command(folder, run.name), run, draws, kills=kills, seconds=seconds / 2)
        spent += done
        whole, resumed = contents(folder / "whole"), contents(run)
        different = [name for name in whole.keys() | resumed.keys() if whole.get(name) != resumed.get(name)]
        print(f"run {number}: killed {done} times, {len(whole)} files, different: {sorted(different) or 'none'}")
        if different:
            return 1
    print(f"{spent} kills, all files the same")
    return 0


if __name__ == "__main__":
    sys.exit(main())
