"""What tools/source_check.py knows of C++: comments, literals, includes, where functions are.

It is no parser: it counts braces and looks at what stands before them, which is enough for code in
one formatted style.
"""
import bisect
import collections
import re

Function = collections.namedtuple("Function", "name begin end")  # lines, from 1, both included

TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/'
    r'|(?:u8|[uUL])?R"(?P<delimiter>[^()\\\s]{0,16})\(.*?\)(?P=delimiter)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Fa-f'])'(?:\\.|[^'\\\n])+'", re.DOTALL)


def blank(match):
    """Spaces in place of a comment or of what is inside a literal; line breaks stay."""
    text = match.group(0)
    if text.startswith("/"):
        return re.sub(r"[^\n]", " ", text)
    return text[0] + re.sub(r"[^\n]", " ", text[1:-1]) + text[-1]


def strip(text):
    """The text with comments and the insides of literals blanked: each line and column stays."""
    return TOKEN.sub(blank, text)


def includes(raw, code):
    """[(line, in quotes, target)] of #include lines that are not in a comment."""
    found = []
    for index, line in enumerate(code):
        if not line.lstrip().startswith("#"):
            continue
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', raw[index])
        if match:
            found.append((index + 1, match.group(1) == '"', match.group(2)))
    return found


def literals_in_calls(raw, code, names):
    """[(text, line)] of string literals on a line with one of `names` (regular expressions)."""
    found = []
    call = re.compile(r"\b(?:" + "|".join(names) + ")")
    for index, line in enumerate(code):
        if call.search(line):
            found += [(text, index + 1) for text in re.findall(r'"([^"]+)"', raw[index])]
    return found


# What may stand between a function's parameters and its body.
TRAILER = re.compile(
    r"(?:\bconst\b|\bnoexcept\b|\boverride\b|\bfinal\b|\bmutable\b|\btry\b|&&?|->\s*[\w:<>,\s*&]+"
    r"|\bTS_\w+(?:\([^()]*\))?|\s)*$")
NOT_A_FUNCTION = re.compile(
    r"^\s*(?:(?:template\s*<.*>\s*)?(?:class|struct|union|enum|namespace)\b|extern\s*$)", re.DOTALL)


# What does not belong to a function though it stands before it.
LEADING = re.compile(r"(?:\s|\b(?:public|private|protected)\s*:(?!:))*")
NAME = re.compile(
    r"((?:[\w~]+(?:<[^<>]*>)?::)*"
    r"(?:operator\s*[^\s\w(]+|operator\s*\(\)|operator \w+|~?\w+))\s*$")


def match_back(text, close):
    """The index of the parenthesis that text[close] closes, or -1."""
    depth = 0
    for index in range(close, -1, -1):
        if text[index] == ")":
            depth += 1
        elif text[index] == "(":
            depth -= 1
            if depth == 0:
                return index
    return -1


def cut_initializers(head):
    """The head of a constructor without `: member_(value), ...`."""
    depth = 0
    for index, char in enumerate(head):
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif (char == ":" and depth == 0 and head[index - 1:index] != ":" and
              head[index + 1:index + 2] != ":" and re.search(r"\)[\s\w]*$", head[:index])):
            return head[:index]
    return head


def function_name(head):
    """The name of the function whose body begins after `head`, or None if it is something else."""
    if NOT_A_FUNCTION.match(head):
        return None
    head = TRAILER.sub("", cut_initializers(head))
    if not head.endswith(")"):
        return None
    open_index = match_back(head, len(head) - 1)
    match = NAME.search(head[:max(open_index, 0)])
    if match is None:
        return None
    name = match.group(1)
    if name in ("if", "for", "while", "switch", "catch", "return", "sizeof", "decltype"):
        return None
    if re.fullmatch(r"(TYPED_)?TEST(_[FP])?", name):
        arguments = re.sub(r"\s", "", head[open_index + 1:-1])
        return arguments.replace(",", ".")
    return name


def functions(code):
    """The outermost functions: a lambda or a local class belongs to the function around it."""
    lines = [line if not line.lstrip().startswith("#") else "" for line in code]
    text = "\n".join(lines)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)

    def line_of(index):
        return bisect.bisect_right(starts, index)

    found, stack, head_begin = [], [], 0
    inside = None  # (name, first line, depth) of the function that is open
    parentheses = 0
    for index, char in enumerate(text):
        if char in "()":
            parentheses += 1 if char == "(" else -1
        elif char == "{":
            # Braces within an initializer list or an argument open no body.
            if inside is None and parentheses == 0:
                head = text[head_begin:index]
                name = function_name(head)
                if name is not None:
                    begin = head_begin + LEADING.match(head).end()
                    inside = (name, line_of(begin), len(stack))
            stack.append(head_begin)
            if inside is None and not is_initializer(text[head_begin:index]):
                head_begin = index + 1
        elif char == "}":
            opened_at = stack.pop() if stack else 0
            if inside is not None and len(stack) == inside[2]:
                found.append(Function(inside[0], inside[1], line_of(index)))
                inside = None
                head_begin = index + 1
            elif inside is None:
                ends_initializer = is_initializer(text[opened_at:index].split("{")[0])
                head_begin = opened_at if ends_initializer else index + 1
        elif char == ";" and inside is None and parentheses == 0:
            head_begin = index + 1
    return found


def is_initializer(head):
    """Whether a brace after `head` is `member_{...}` of a constructor's initializer list."""
    return re.search(r"\)[\s\w]*:(?!:).*[\w>]\s*$", head, re.DOTALL) is not None
