"""Rows of the two instruction files, with prompts as Alpaca renders them."""

WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n"
)
WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n"
)
RESPONSE = {"response": "fine", "source": "gpt4", "score": 8}


def render(instruction, input_text="", ending=""):
    """A prompt as Alpaca renders it; braces in the texts stay as they are."""
    if input_text:
        head, middle, tail = WITH_INPUT.replace("{input}", "{instruction}").split("{instruction}")
        return head + instruction + middle + input_text + tail + ending
    head, tail = WITHOUT_INPUT.split("{instruction}")
    return head + instruction + tail + ending


def reference(instruction="Do it", input_text="", output="Done"):
    """A row of alpaca_gpt4_data.json."""
    return {"instruction": instruction, "input": input_text, "output": output}


def comparison(instruction="Do it", input_text="", responses=(RESPONSE, RESPONSE)):
    """A row of comparison_data_v2.json."""
    return {"user_input": render(instruction, input_text), "responses_and_scores": list(responses)}


def without(row, key):
    return {name: value for name, value in row.items() if name != key}
