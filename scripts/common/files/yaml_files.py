"""YAML of plain values, read so that nothing in it can run code, hang or fill the memory."""

from pathlib import Path
from typing import Any

import jsonschema
import yaml

from common.base.errors import UserError

# More than any configuration needs; a file of a few hundred bytes can expand to billions of values.
LARGEST_YAML, DEEPEST_YAML = 100_000, 50


def read_yaml(path: Path, what: str = "a file") -> Any:
    """Read a YAML file of plain values: nothing in it can run code, hang or fill the memory.

    Args:
        path: the file.
        what: what it is, for the error.

    Raises:
        UserError: when it is missing, not UTF-8, not YAML, nested without end, or holds other things than YAML's
            mappings with text or number keys, lists, texts, numbers, booleans and null.
    """
    try:
        content, repeated = _construct(path.read_bytes().decode("utf-8"))
        problem = _unusual(content)
    except FileNotFoundError as error:
        raise UserError(f"{what} is missing", str(path), "check its path") from error
    except (OSError, ValueError, OverflowError, yaml.YAMLError) as error:
        raise UserError(f"{what} cannot be read: {error}", str(path), "fix the file") from error
    except RecursionError:
        problem = "it is nested too deeply"
    if problem:
        raise UserError(f"{what} cannot be used: {problem}", str(path), "fix the file")
    if repeated:
        key, first, second = repeated
        where, remedy = f"{path}, lines {first} and {second}", "remove one of them; the later would win unnoticed"
        raise UserError(f"{what} holds a key twice in one mapping: `{key}`", where, remedy)
    return content


def _construct(text: str) -> tuple[Any, tuple[str, int, int] | None]:
    """What a YAML text holds, and the first key that appears twice in one mapping, with its lines."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        repeated = _repeated_key(node)  # first: constructing puts merged keys beside a mapping's own
        return loader.construct_document(node) if node else None, repeated
    finally:
        loader.dispose()


def _repeated_key(root: yaml.Node | None) -> tuple[str, int, int] | None:
    pending, seen = [root], set()
    while pending:
        node = pending.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        lines: dict[tuple[str, str], int] = {}
        for key, _ in pairs:
            line, name = key.start_mark.line + 1, (key.tag, str(key.value))
            if name in lines:
                return name[1], lines[name], line
            lines[name] = line
        pending += [child for _, child in pairs] or node.value
    return None


def _unusual(content: Any) -> str | None:
    """What in a YAML file is not a plain value, or None."""
    pending, seen = [(content, 0)], 0
    while pending:
        value, depth = pending.pop()
        seen += 1
        if depth > DEEPEST_YAML or seen > LARGEST_YAML:
            return "it is nested too deeply" if depth > DEEPEST_YAML else f"more than {LARGEST_YAML} values"
        if isinstance(value, dict):
            odd = [key for key in value if isinstance(key, bool) or not isinstance(key, str | int)]
            if odd:
                return f"the key {odd[0]!r} is neither text nor a whole number"
            pending += [(child, depth + 1) for pair in value.items() for child in pair]
        elif isinstance(value, list):
            pending += [(child, depth + 1) for child in value]
        elif not (value is None or isinstance(value, str | int | float)):
            return f"{value!r} is a {type(value).__name__}; put it in quotes if it is a text"
        elif isinstance(value, str) and not value.isascii() and any(0xD800 <= ord(char) <= 0xDFFF for char in value):
            return f"{value!r} holds half a surrogate pair"
    return None


def read_checked_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of the folder, checked against the definition of its name in `schema.yaml` beside it.

    Raises:
        UserError: naming every key that does not fit.
    """
    content, schema = read_yaml(path), read_yaml(path.with_name("schema.yaml"))
    if not isinstance(schema, dict) or path.stem not in schema.get("$defs", {}):
        raise UserError(f"the schema does not define {path.name}", str(path.with_name("schema.yaml")), "restore it")
    validator = jsonschema.Draft202012Validator({**schema, "$ref": f"#/$defs/{path.stem}"})
    problems = [f"{error.json_path[2:] or '(top level)'}: {error.message}" for error in validator.iter_errors(content)]
    if problems:
        raise UserError(
            "a file of the paper's numbers is not valid:\n    " + "\n    ".join(problems), str(path), "fix them"
        )
    return dict(content)


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        UserError: when it is missing, not YAML, or not a mapping.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError("a file is not a mapping of keys", str(path), "fix the file")
    return content
