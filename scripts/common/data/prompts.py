"""How prompts are written. The only place: training and evaluation share it, or the comparison is confounded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.base.templates import fill

EXAMPLE_SEPARATOR = "\n\n"


@dataclass(frozen=True)
class PromptFormat:
    """The configuration's `prompt` block."""

    without_input: str
    with_input: str
    markers: Mapping[str, str]

    @classmethod
    def from_settings(cls, block: Mapping[str, Any]) -> "PromptFormat":
        return cls(block["without_input"], block["with_input"], dict(block["markers"]))

    def prompt(self, instruction: str, input_text: str) -> str:
        """The prompt up to where a marker follows, as the paper's table 4 shows it."""
        template = self.with_input if input_text else self.without_input
        return fill(template, {"instruction": instruction, "input": input_text})


def respond(marker: str, response: str) -> str:
    """A marker and the response it opens; evaluation stops before the space, generation begins with it."""
    return f"{marker} {response}"


def few_shot_prompt(examples: Sequence[tuple[str, str]], question: str, marker: str) -> str:
    """In-context examples (question, answer) and the question, each behind the same marker.

    The text ends with the marker and no space, so that the answer's first token carries the space as in training.
    """
    shots = [f"{text}{respond(marker, answer)}{EXAMPLE_SEPARATOR}" for text, answer in examples]
    return "".join(shots) + question + marker
