"""The command itself, to which the other files of this folder add theirs."""

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="leadboard")
def main() -> None:
    """Which way of pre-training an ECG encoder is worth using: one harness, one board, honest statistics.

    \b
    leadboard run board --scale quick                      our board, on simulated cohorts
    leadboard run goodviews                                Good Views, Table 1, published numbers beside ours
    leadboard run board --corpus ptbxl --data PTBXL        the board on real data
    leadboard run board --strategy mine.py                 your strategy on the same board
    leadboard new mine && leadboard check mine.py          scaffold a strategy, prove it
    """
