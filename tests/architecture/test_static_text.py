"""No log line and no error says what was said: text is constant, and values are of kinds that hold no speech."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
SOURCES = [path for package in ("pipeline", "topics", "connectors") for path in sorted((ROOT / package).rglob("*.py"))]

LOGGERS = {"_log", "_LOG", "_audit", "log", "logger", "logging", "LOG"}
LEVELS = {"debug", "info", "warning", "error", "critical", "log", "exception", "warn", "fatal"}
FIELDS = {
    "cause",
    "code",
    "contact_id",
    "error",
    "feed",
    "offset",
    "partition",
    "partitions",
    "peer",
    "pid",
    "place",
    "provider",
    "reason",
    "recogniser",
    "service",
    "sink",
    "states",
    "step",
    "tenant",
    "topic",
    "worker",
}
# Errors that are about a record travel with dead letters; what their text may quote is listed value by value.
OF_RECORDS = {"RecordRefused", "FrameGap", "EgressRefused", "EngineFault", "DifferenceFound", "Fenced"}
QUOTED = {
    "REFUSED_LIMIT",
    "child.who.name",
    "first_sample",
    "head.lines",
    "name",  # of a field, a chain
    "next_sample",
    "number",
    "path.name",
    "place",
    "promised.lines",
    "refused[-1][1]",  # one of these errors itself
    "shut[0]",  # one of two constants
    "stage.name",
    "state or 'none'",  # SQLSTATE
    "topic",
    "wrong[0]",  # a topic
}
# What holds speech, or may: no message of any error or log names it, not even a part of it.
CONTENT = set(
    "answer body data draft drafts heard hint hints masks message pcm payload record records request said"
    " secret secrets sentence span spans text texts transcript turn turns utterance value values word words".split()
)
SAFE_PARTS = {  # and what of it is safe, by the whole expression
    "answer.error": "what the broker says of a partition",
    "request.out": "the folder that a user named",
}


def broken(source: str) -> list[str]:
    """Return every call of a module that breaks the rule, with its line."""
    tree = ast.parse(source)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        f"{call.lineno}: {why}"
        for call in calls
        for why in (*(_wrong_line(call) if _is_log(call) else ()), *(_wrong_error(call) if _is_error(call) else ()))
    ]


def _is_log(call: ast.Call) -> bool:
    function = call.func
    return isinstance(function, ast.Attribute) and function.attr in LEVELS and ast.unparse(function.value) in LOGGERS


def _is_error(call: ast.Call) -> bool:
    name = ast.unparse(call.func).rpartition(".")[2]
    return name in OF_RECORDS or name in {"InputError", "PeerUnavailable"} or name.endswith(("Error", "Exception"))


def _wrong_line(call: ast.Call) -> Iterator[str]:
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr == "exception":
        yield "a traceback quotes values"
    texts = call.args[1:] if call.func.attr == "log" else call.args
    if len(texts) != 1 or not _is_constant(texts[0]):
        yield "the text of a line is one constant"
    for keyword in call.keywords:
        if keyword.arg != "extra" or not isinstance(keyword.value, ast.Dict):
            yield "values are fields of `extra`"
        else:
            yield from _wrong_fields(keyword.value)


def _wrong_fields(extra: ast.Dict) -> Iterator[str]:
    for key, value in zip(extra.keys, extra.values, strict=True):
        if not isinstance(key, ast.Constant) or key.value not in FIELDS:
            yield "a field that nobody has listed"
        if _names(value) & CONTENT:
            yield f"a field holds {ast.unparse(value)}"


def _wrong_error(call: ast.Call) -> Iterator[str]:
    is_of_record = ast.unparse(call.func).rpartition(".")[2] in OF_RECORDS
    for argument in call.args:
        parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
        for part in parts:
            value = part.value if isinstance(part, ast.FormattedValue) else part
            quoted = ast.unparse(value) if isinstance(value, ast.AST) else ""
            if not isinstance(value, ast.AST) or _is_constant(value) or quoted in SAFE_PARTS:
                continue
            if is_of_record and quoted not in QUOTED:
                yield f"an error of a record quotes {quoted}"
            elif _names(value) & CONTENT:
                yield f"an error quotes {quoted}"


def _is_constant(node: ast.AST) -> bool:
    """A literal, or the name of a module's constant."""
    if isinstance(node, ast.Attribute):
        return node.attr.isupper()
    return isinstance(node, ast.Constant) or isinstance(node, ast.Name) and node.id.isupper()


def _names(node: ast.AST) -> set[str]:
    """Names and attributes of an expression, less those that only a function of safe outcome sees."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in {"len", "type", "id"}:
        return set()
    own = {node.id} if isinstance(node, ast.Name) else {node.attr} if isinstance(node, ast.Attribute) else set()
    return own.union(*map(_names, ast.iter_child_nodes(node)))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_and_errors_say_nothing_that_was_said(path: Path) -> None:
    assert [] == broken(path.read_text())


@pytest.mark.parametrize(
    "line",
    [
        '_log.error(f"bad turn {turn.text}")',
        '_log.error("bad turn %s", turn)',
        "_log.error(str(error))",
        '_log.exception("bad turn")',
        '_log.error("bad turn", exc_info=True)',
        '_log.error("bad turn", extra={"text": "x"})',
        '_log.error("bad turn", extra={"reason": turn.words[0]})',
        '_log.error("bad turn", extra=fields)',
        'raise RecordRefused(f"bad word {word.text}")',
        "raise RecordRefused(str(error))",
        'raise PeerUnavailable(f"the model said {answer}")',
        'raise ValueError(f"bad {record!r}")',
    ],
)
def test_what_breaks_the_rule_is_found(line: str) -> None:
    assert broken(line)


@pytest.mark.parametrize(
    "line",
    [
        '_log.error("a service failed", extra={"error": type(error).__name__, "offset": len(words)})',
        "_log.warning(SAID, extra={})",
        'raise RecordRefused("the record is shorter than its header")',
        'raise PeerUnavailable(f"the consumer failed: {error.name()}")',
    ],
)
def test_what_keeps_the_rule_is_not(line: str) -> None:
    assert [] == broken(line)
