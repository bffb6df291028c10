"""How long a move of the pruning explorer's slider takes in the kernel, kept beside the other figures of the benchmark.

python tools/explorer_moves.py   prints it, and adds it to build/bench.json
"""

import statistics

from kws_nb.core import build_dir, write_json
from kws_nb.results import read_results
from kws_nb.widgets.pruning_explorer import PruningExplorer, time_moves


def keep(path):
    "Each move to a share that was not seen before, of each kind of group: median and slowest, ms."
    explorer, times = PruningExplorer(), []
    for granularity in explorer.controls.granularity.options:
        explorer.controls.granularity.value = granularity
        times += time_moves(explorer)
    found = dict(median=round(statistics.median(times), 1), slowest=round(max(times), 1))
    print(f"pruning explorer, one move: median {found['median']} ms, slowest {found['slowest']} ms")
    write_json(path, read_results(path) | dict(explorer=found))


if __name__ == "__main__":
    keep(build_dir() / "bench.json")
