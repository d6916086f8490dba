"""YAML files that are checked whole: unknown and mistyped keys are named with file and line."""

from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from common.usage import UsageError, meant, unknown


class Strict(BaseModel):
    """A configuration model that rejects keys it does not know and never changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ReservedError(ValueError):
    """Of a check: the text names what is wrong, and the value, which may hold a secret, is not shown."""


LARGEST = 2**20  # bytes of a file
MOST_NODES = 20_000  # of a file, references counted as often as they stand there
DEEPEST = 50  # mappings and lists inside one another

Model = TypeVar("Model", bound=BaseModel)
_ENDINGS = (".yaml", ".yml")
_WORDS = {  # where pydantic's own are a programmer's
    "dict_type": "must hold keys and values",
    "float_parsing": "must be a number",
    "int_parsing": "must be a whole number",
    "too_long": "holds too many",
    "list_type": "must be a list, in square brackets or one line with a dash for each",
    "model_attributes_type": "must hold keys and values",
    "model_type": "must hold keys and values",
    "string_too_long": "is too long: 100 characters at most",
    "string_too_short": "must not be empty",
    "string_type": "must be text; put it in quotes",
}


def find_file(folder: Path, name: str, what: str) -> Path:
    """The file of `name` in `folder`, or `name` itself where it is a path.

    `what` it is of, for the UsageError that names those there are.
    """
    if name.endswith(_ENDINGS):
        return Path(name)
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise UsageError(f"{unknown(what, name, known)} (or a path to a .yaml file)")
    return folder / f"{name}.yaml"


def bare(name: str) -> str:
    """What runs call it: of a file the name without folder and ending; other names as they are."""
    return Path(name).stem if name.endswith(_ENDINGS) else name


def read_model(path: Path, model: type[Model]) -> Model:
    """Read one YAML file into `model`. Raises UsageError naming file, line and key."""
    try:
        with path.open(encoding="utf-8") as opened:
            text = opened.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise UsageError(f"{path}: is larger than {LARGEST >> 20} MiB")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _require_small(node, path)
        _require_once(node, path)
        data = yaml.safe_load(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: cannot be read: it is not UTF-8 text") from None
    except yaml.YAMLError as error:
        raise UsageError(_not_yaml(path, error)) from None
    except RecursionError:
        raise UsageError(f"{path}: keys are nested deeper than {DEEPEST} levels") from None
    except (ValueError, OverflowError, TypeError) as error:  # of YAML's own numbers, dates and keys
        said = " ".join(str(error).split())[:200]
        raise UsageError(f"{path}: holds a value that cannot be read: {said}") from None
    if not isinstance(data, dict):
        found = "it is empty" if data is None else f"it holds a {type(data).__name__}"
        raise UsageError(f"{path}: must hold keys and values; {found}")
    return check_model(data, model, str(path), node)


def check_model(data: Any, model: type[Model], where: str, node: yaml.Node | None = None) -> Model:
    """Check `data` against `model`; `node` (composed YAML) adds line numbers to the message."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = _foremost(error)
        keys = [str(part) for part in first["loc"]]
        line = _line_of(node, keys)
        place = f"{where}:{line}" if line else where
        raise UsageError(f"{place}: {_cut(_explain(first, keys, model))}") from None


def _not_yaml(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"{path}: not valid YAML: {' '.join(str(error).split())}"
    said = [getattr(error, name, None) for name in ("context", "problem")]
    return f"{path}:{mark.line + 1}: not valid YAML: {', '.join(text for text in said if text)}"


def _require_small(node: yaml.Node | None, path: Path) -> None:
    """Raise UsageError for a file that unfolds into more than anybody writes: by depth, by references to what
    refers again, or to itself."""
    left, waiting = MOST_NODES, [(node, 0)]
    while waiting:
        each, depth = waiting.pop()
        left -= 1
        if depth > DEEPEST:
            raise UsageError(f"{path}: keys are nested deeper than {DEEPEST} levels, or refer to themselves")
        if left < 0:
            raise UsageError(f"{path}: holds more than {MOST_NODES:,} values, references unfolded")
        if isinstance(each, yaml.SequenceNode):
            waiting += [(item, depth + 1) for item in each.value]
        elif isinstance(each, yaml.MappingNode):
            waiting += [(part, depth + 1) for pair in each.value for part in pair]


def _require_once(node: yaml.Node | None, path: Path) -> None:
    """Raise UsageError for a key that a mapping has twice: YAML itself would let the last one win."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _require_once(item, path)
    if isinstance(node, yaml.MappingNode):
        lines: dict[Any, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                if key.value in lines:
                    twice = f"key {_short(key.value)} is there twice, first in line {lines[key.value]}"
                    raise UsageError(f"{path}:{line}: {twice}")
                lines[key.value] = line
            _require_once(value, path)


def _foremost(error: ValidationError) -> Any:
    """The mistake to name. A mistyped key goes first: the one that is missing then is what was meant."""
    problems = error.errors()
    return next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])


def _explain(problem: Any, keys: list[str], model: type[BaseModel]) -> str:
    key = ".".join(_cut(part, 100) for part in keys) or "the file"
    kind, given = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        return f"unknown key {key!r}" + _hint(keys[-1], _known_beside(keys, model))
    if kind == "missing":
        return f"key {key!r} is missing"
    if kind == "union_tag_not_found":
        has = f"; it has {', '.join(map(str, given))}" if isinstance(given, dict) and given else ""
        return f"{key}: needs the key {problem['ctx']['discriminator']}{has}"
    if kind == "union_tag_invalid":
        context = problem["ctx"]
        key = f"{key}.{context['discriminator'].strip(chr(39))}"
        return f"{key}: unknown {context['tag']!r}; there are: {context['expected_tags']}"
    message = _WORDS.get(kind) or problem["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "must be").replace("must be a valid", "must be a")
    plain = isinstance(given, str | int | float | bool)
    hidden = isinstance(problem.get("ctx", {}).get("error"), ReservedError)
    shown = f" (given {_short(given)})" if plain and not hidden else ""
    return f"{key}: {message}{shown}"


def _short(given: object) -> str:
    try:
        said = repr(given)
    except ValueError:  # a whole number of over 4,300 digits
        return "a number of thousands of digits"
    return _cut(said, 100)


def _cut(text: str, most: int = 600) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _hint(key: str, known: list[str]) -> str:
    if close := meant(key, known):
        return f"; did you mean {close!r}?"
    return f"; known keys: {', '.join(known)}" if known else ""


def _known_beside(keys: list[str], model: type[BaseModel]) -> list[str]:
    """The keys that could stand where the last of `keys` does; none where more than one model could."""
    for key in keys[:-1]:
        field = model.model_fields.get(key)  # None: a name of the user's own in a mapping, a place in a list
        found = _models(field.annotation) if field else [model]
        if len(found) != 1:
            return []
        model = found[0]
    return sorted(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The configuration models in a type such as `Model | None` or `dict[str, Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _line_of(node: yaml.Node | None, keys: list[str]) -> int | None:
    """The line (from 1) of the deepest key on the way that the file really holds."""
    line = None
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if name.value == key:
                    line, node = name.start_mark.line + 1, value
                    break
            else:
                return line
        elif isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
            node = node.value[int(key)]
            line = node.start_mark.line + 1
    return line
