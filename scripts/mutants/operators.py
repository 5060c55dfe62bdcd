"""Which small changes are made to a module: source in, mutants out. Nothing here reads a file or runs a test.

A mutant replaces one range of bytes of the source, found by `ast`, so that all the rest stays as it is and the change reads
as a diff of a line or two. What does not compile, or parses to the same tree, is not drawn.

Left out on purpose, because no test should look at it:

- docstrings, annotations, type aliases, protocols, `TYPE_CHECKING` blocks, overloads, `__all__`;
- prose: a string or f-string in which words stand side by side (error messages and explanations; their presence, type and
  the values in them are still tested by the mutants around them);
- the keywords `slots=` of dataclasses, `strict=` of `zip`, `maxsize=` of `lru_cache`, `usedforsecurity=` of digests and
  `fast_acquire=` of locks, which change no result that a caller can see.

The expressions inside an f-string have right positions only where Python gives them, so that a sample is the same for the
same seed, tree and version of Python.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import dataclass, replace

COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: (r"<", ("<=", ">=")),
    ast.LtE: (r"<=", ("<", ">")),
    ast.Gt: (r">", (">=", "<=")),
    ast.GtE: (r">=", (">", "<")),
    ast.Eq: (r"==", ("!=",)),
    ast.NotEq: (r"!=", ("==",)),
    ast.Is: (r"\bis\b", ("is not",)),
    ast.IsNot: (r"\bis\s+not\b", ("is",)),
    ast.In: (r"\bin\b", ("not in",)),
    ast.NotIn: (r"\bnot\s+in\b", ("in",)),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: (r"\+", "-"),
    ast.Sub: (r"-", "+"),
    ast.Mult: (r"\*", "//"),
    ast.Div: (r"/", "*"),
    ast.FloorDiv: (r"//", "*"),
    ast.Mod: (r"%", "*"),
    ast.Pow: (r"\*\*", "*"),
    ast.LShift: (r"<<", ">>"),
    ast.RShift: (r">>", "<<"),
    ast.BitAnd: (r"&", "|"),
    ast.BitOr: (r"\|", "&"),
    ast.BitXor: (r"\^", "&"),
}
OTHER_FUNCTION = {"min": "max", "max": "min", "any": "all", "all": "any"}
DROPPED_METHODS = {"lower", "upper", "casefold", "strip", "rstrip", "lstrip", "copy"}
UNSEEN_KEYWORDS = {"slots", "strict", "maxsize", "usedforsecurity", "fast_acquire"}
GENERIC = {"Literal", "Callable", "Mapping", "Sequence", "Iterable", "Awaitable", "Union", "Annotated"}
OF_TYPES = {"TypeVar", "ParamSpec", "NewType", "getLogger"}  # calls whose arguments are names for people or checkers
PROSE = re.compile(r"[\w'>)\]},:] [\w'<(\[{$-]")
PROSE_AROUND_A_VALUE = re.compile(r"[A-Za-z']{2,}[,:;]? | [a-z]{2,}")
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Mutant:
    path: str  # with slashes, from the folder that has the package
    function: str  # qualified name; of a class or "" where no function is around
    line: int
    start: int  # bytes
    end: int
    replacement: str
    lines: tuple[int, int]  # first and last of the statement, without the statements inside it
    names: tuple[str, ...]  # outside of a function: what the statement defines, and its class
    change: str  # the changed lines before and after, stripped; with a number where they stand in the function twice

    @property
    def key(self) -> tuple[str, str]:
        """What stays the same when lines are added above."""
        return f"{self.path}::{self.function}", self.change

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.replacement.encode() + source[self.end :]

    def is_change(self, source: bytes) -> bool:
        """Whether it compiles, to something else than the source: slow, so asked of those that are drawn only."""
        try:
            return ast.dump(ast.parse(self.apply(source))) != ast.dump(ast.parse(source))
        except SyntaxError:
            return False


def mutants(path: str, source: bytes) -> list[Mutant]:
    """All that are worth a look, in the order of the source; `Mutant.is_change` decides the rest."""
    return _Module(path, source).found


class _Module:
    def __init__(self, path: str, source: bytes) -> None:
        self.path, self.source = path, source
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.found: list[Mutant] = []
        self._seen: set[bytes] = set()
        self._function: list[str] = []
        self._names: tuple[str, ...] = ()
        self._lines = (1, 1)
        self._statements(ast.parse(source).body)
        self.found.sort(key=lambda mutant: (mutant.start, mutant.end, mutant.replacement))
        times: Counter[tuple[str, str]] = Counter()
        for number, mutant in enumerate(self.found):
            times[mutant.key] += 1
            if (nth := times[mutant.key]) > 1:
                self.found[number] = replace(mutant, change=f"{mutant.change} (#{nth})")

    # Where a node stands

    def _begin(self, node: ast.AST) -> int:
        return self.starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]

    def _end(self, node: ast.AST) -> int:
        return self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def _text(self, node: ast.AST) -> str:
        return self.source[self._begin(node) : self._end(node)].decode()

    def _add(self, start: int, end: int, replacement: str) -> None:
        mutated = self.source[:start] + replacement.encode() + self.source[end:]
        if mutated in self._seen:
            return
        self._seen.add(mutated)
        first = self.source.count(b"\n", 0, start)
        last = self.source.count(b"\n", 0, end)
        before = self.source[self.starts[first] : self.starts[last + 1]]
        after = self.source[self.starts[first] : start] + replacement.encode() + self.source[end : self.starts[last + 1]]
        change = f"{' '.join(before.decode().split())} ==> {' '.join(after.decode().split())}"
        function, names = ".".join(self._function), self._names
        self.found.append(Mutant(self.path, function, first + 1, start, end, replacement, self._lines, names, change))

    def _replace(self, node: ast.AST, replacement: str) -> None:
        self._add(self._begin(node), self._end(node), replacement)

    def _between(self, left: ast.AST, right: ast.AST, pattern: str, replacement: str) -> None:
        """The operator between two operands, which may stand in parentheses."""
        start, end = self._end(left), self._begin(right)
        gap = self.source[start:end].decode()
        if match := re.search(pattern, gap):
            self._add(start + match.start(), start + match.end(), replacement)

    # Statements

    def _statements(self, body: list[ast.stmt]) -> None:
        for statement in body:
            if not _is_for_checkers(statement):
                self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        outer, names = self._lines, self._names
        inner = [child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node]
        last = min((child.lineno for child in inner), default=(node.end_lineno or node.lineno) + 1) - 1
        self._lines = (node.lineno, max(node.lineno, last))
        if isinstance(node, DEFINITIONS):
            self._definition(node)
        else:
            if not self._function or self._function[-1][:1].isupper():
                self._names = tuple({*names, *(child.id for child in ast.walk(node) if _is_stored(child))})
            self._change(node)
            for field, value in ast.iter_fields(node):
                if field == "annotation":
                    continue
                if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                    self._statements(value)
                    continue
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, (ast.ExceptHandler, ast.match_case)):
                        self._part(child)
                    elif isinstance(child, ast.AST):
                        self._expression(child)
        self._lines, self._names = outer, names

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self._function.append(node.name)
        if isinstance(node, ast.ClassDef):
            self._names = (*self._names, node.name)
            for keyword in node.keywords:
                self._expression(keyword.value)
        else:
            self._lines = (node.lineno, node.end_lineno or node.lineno)  # a default counts in all of the body
            for default in (*node.args.defaults, *node.args.kw_defaults):
                if default is not None:
                    self._expression(default)
        for decorator in node.decorator_list:
            self._expression(decorator)
        self._statements(node.body)
        self._function.pop()

    def _part(self, node: ast.ExceptHandler | ast.match_case) -> None:
        if isinstance(node, ast.ExceptHandler):
            self._lines = (node.lineno, node.body[0].lineno)
            if not (len(node.body) == 1 and isinstance(node.body[0], ast.Raise) and node.body[0].exc is None):
                self._add(self._begin(node.body[0]), self._end(node.body[-1]), "raise")
            if isinstance(node.type, ast.Tuple) and len(node.type.elts) > 1:
                for one in node.type.elts:
                    rest = [self._text(other) for other in node.type.elts if other is not one]
                    self._replace(node.type, f"({', '.join(rest)},)")
        else:
            self._lines = (node.pattern.lineno, node.body[0].lineno)
            self._expression(node.pattern)
            if node.guard:
                self._condition(node.guard)
                self._expression(node.guard)
        self._statements(node.body)

    def _change(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Delete() | ast.Raise():
                self._replace(node, "pass")
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]) if self._function:
                self._replace(node, "pass")
            case ast.Return(value=ast.expr() as value) if not _is_none(value):
                self._replace(node, "return None")
            case ast.Break():
                self._replace(node, "continue")
            case ast.Continue():
                self._replace(node, "break")
            case ast.If(test=test) | ast.While(test=test):
                self._condition(test)
            case ast.Try(finalbody=[first, *_] as body):
                self._add(self._begin(first), self._end(body[-1]), "pass")
            case _:
                pass

    # Expressions

    def _condition(self, node: ast.expr) -> None:
        """Comparisons and the like are changed where they stand."""
        if not isinstance(node, (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Constant)):
            self._replace(node, f"(not ({self._text(node)}))")

    def _expression(self, node: ast.AST) -> None:
        if isinstance(node, ast.Subscript) and _name(node.value) in GENERIC:
            return
        if isinstance(node, ast.JoinedStr):
            self._f_string(node)
            return
        self._swap(node)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.keyword) and child.arg in UNSEEN_KEYWORDS:
                continue
            if isinstance(node, ast.Call) and _name(node.func) in OF_TYPES and child is not node.func:
                continue
            if isinstance(node, ast.Call) and _name(node.func) == "cast" and child is node.args[0]:
                continue
            if isinstance(node, ast.Compare) and isinstance(child, ast.Constant) and child.value is None:
                continue
            if isinstance(child, ast.arguments):
                for default in (*child.defaults, *child.kw_defaults):
                    if default is not None:
                        self._expression(default)
                continue
            self._expression(child)

    def _swap(self, node: ast.AST) -> None:
        match node:
            case ast.Compare():
                for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
                    pattern, others = COMPARISONS[type(operator)]
                    for other in others:
                        self._between(left, right, pattern, other)
            case ast.BinOp() if not (isinstance(node.op, ast.Add) and (_is_string(node.left) or _is_string(node.right))):
                if type(node.op) in ARITHMETIC:
                    self._between(node.left, node.right, *ARITHMETIC[type(node.op)])
            case ast.BoolOp():
                self._bool(node)
            case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
                self._replace(node, f"({self._text(node.operand)})")
            case ast.IfExp(test=test):
                self._condition(test)
            case ast.comprehension(ifs=tests):
                for test in tests:
                    self._condition(test)
            case ast.Constant():
                self._constant(node)
            case ast.Call():
                self._call(node)
            case _:
                pass

    def _bool(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(left, right, rf"\b{old}\b", new)
        for one in node.values:
            rest = [f"({self._text(other)})" for other in node.values if other is not one]
            self._replace(node, f"({f' {old} '.join(rest)})")

    def _constant(self, node: ast.Constant) -> None:
        text = self._text(node)
        match node.value:
            case bool() as value:
                self._replace(node, str(not value))
            case None:
                self._replace(node, '"~"')
            case int() as value:
                self._replace(node, str(value + 1))
            case float() as value:
                self._replace(node, str(value * 2 or 1.0))
            case str() as value if not PROSE.search(value):
                self._replace(node, f'({text} "~")' if value else '"~"')
            case bytes() as value:
                self._replace(node, f'({text} b"~")' if value else 'b"~"')
            case _:
                pass

    def _f_string(self, node: ast.JoinedStr) -> None:
        fixed = "{}".join(part.value for part in node.values if isinstance(part, ast.Constant))
        if not PROSE_AROUND_A_VALUE.search(fixed):
            self._replace(node, f'({self._text(node)} "~")')
        for part in node.values:
            if isinstance(part, ast.FormattedValue) and self._stands_there(part.value):
                self._expression(part.value)

    def _stands_there(self, node: ast.expr) -> bool:
        """Python 3.11 sometimes gives wrong positions to what is inside an f-string."""
        try:
            return ast.dump(ast.parse(self._text(node), mode="eval").body) == ast.dump(node)
        except (SyntaxError, UnicodeDecodeError):
            return False

    def _call(self, node: ast.Call) -> None:
        name = _name(node.func)
        if isinstance(node.func, ast.Name) and name in OTHER_FUNCTION:
            self._replace(node.func, OTHER_FUNCTION[name])
        if isinstance(node.func, ast.Attribute) and name in DROPPED_METHODS and not node.args and not node.keywords:
            self._replace(node, self._text(node.func.value))
        if name == "suppress":
            self._add(self._end(node.func), self._end(node), "()")
        if name in OF_TYPES or name == "cast":
            return
        match node.args:
            case [first, second, *_] if name not in OTHER_FUNCTION and not _is_starred(first) and not _is_starred(second):
                middle = self.source[self._end(first) : self._begin(second)].decode()
                self._add(self._begin(first), self._end(second), f"{self._text(second)}{middle}{self._text(first)}")
            case _:
                pass
        before: ast.AST | None = node.args[-1] if node.args else None
        for keyword in node.keywords:
            if keyword.arg not in UNSEEN_KEYWORDS:
                if before is not None:
                    self._add(self._end(before), self._end(keyword), "")
                elif len(node.keywords) == 1:
                    self._replace(keyword, "")
                else:
                    self._add(self._begin(keyword), self._begin(node.keywords[1]), "")
            before = keyword


def _is_for_checkers(node: ast.stmt) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Assert() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call(func=func)) | ast.Return(value=ast.Call(func=func)):
            return _name(func) == "assert_never"
        case ast.If(test=test):
            return _name(test.operand if isinstance(test, ast.UnaryOp) else test) == "TYPE_CHECKING"
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in {"__all__", "__slots__", "__match_args__"} or _is_alias(name, node.value)
        case ast.ClassDef(bases=bases) if any(_name(base) in {"Protocol", "TypedDict"} for base in bases):
            return True
        case ast.FunctionDef(decorator_list=decorators) | ast.AsyncFunctionDef(decorator_list=decorators):
            return any(_name(decorator) == "overload" for decorator in decorators)
        case _:
            return False


def _is_alias(name: str, value: ast.expr) -> bool:
    """`Body = bytes | Callable[[], bytes]`."""
    if not name.strip("_")[:1].isupper() or name.isupper():
        return False
    return isinstance(value, ast.Subscript) or (isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr))


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _is_starred(node: ast.expr) -> bool:
    return isinstance(node, ast.Starred)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_string(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)))


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
