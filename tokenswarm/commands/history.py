"""`tokenswarm history`: all runs, and the folders that hold answers of which no master makes a run."""

from argparse import Namespace

from common.results import results_folder
from common.terminal import shown
from loadgen.records.collect import recoverable
from reports.commands import history
from reports.commands.history import add_arguments as add_arguments


def run(given: Namespace) -> int:
    """Print the table, then what waits."""
    code = history.run(given)
    for folder in recoverable(results_folder()):
        line = f"{folder}: no run yet; if its master died, `tokenswarm recover {folder}` makes one"
        print(shown(line))
    return code
