"""`tokenswarm history`: all runs, and the folders that hold answers of which no master makes a run."""

from argparse import Namespace

from common.results import DRAFT, results_folder
from common.terminal import shown
from reports.commands import history
from reports.commands.history import add_arguments as add_arguments


def run(given: Namespace) -> int:
    """Print the table, then what waits."""
    code = history.run(given)
    if not any(results_folder().glob(f"*/{DRAFT}")):
        return code
    from loadgen.records.collect import recoverable  # 0.2 s to import

    for folder in recoverable(results_folder()):
        line = f"{folder}: no run yet; if its master died, `tokenswarm recover {folder}` makes one"
        print(shown(line))
    return code
