"""What a paper's figures show, and what is to be said of ours beside them: bench/papers/<paper>/figures.yaml."""

from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.nn.transforms import Name
from bench.report.published import PAPERS
from bench.report.views import ReportError

FigureName = Literal[
    "label_efficiency",
    "label_efficiency_challenge",
    "transfer_efficiency",
    "transfer_efficiency_challenge",
    "lead_sets",
    "lead_sets_challenge",
    "transforms",
]
"""Figures of ours whose caption may speak of the paper's."""


class PaperFigures(BaseModel):
    """What stands in bench/papers/<paper>/figures.yaml.

    Attributes:
        transforms: titles of the transformations that one of the paper's figures shows, by our names.
        captions: a sentence for the caption of a figure of ours: which of the paper's it is, and what differs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    transforms: dict[Name, str] = {}
    captions: dict[FigureName, str] = {}

    def told(self, figure: str) -> str:
        """What is said of a figure of ours; begins with a space, or is empty."""
        said = {str(name): text for name, text in self.captions.items()}.get(figure, "")
        return f" {said}" if said else ""


def paper_figures(paper: str) -> PaperFigures:
    """What a paper's figures show; nothing where it has no figures.yaml.

    Raises:
        ReportError: the file is wrong.
    """
    path = PAPERS / paper / "figures.yaml"
    if not path.is_file():
        return PaperFigures()
    try:
        return PaperFigures.model_validate(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ReportError(f"{paper}/figures.yaml: {where}: {first['msg']}") from error
