# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""IAM policies of well-known controllers: the data files in ``policies``, and how a document is made of one.

A data file says what the controller is, where its permissions are documented, which service account it usually has,
which parameters its policy takes, and its statements. In them ``${name}`` stands for a parameter: a text that holds
a list is repeated for each of its values. A statement is left out where a list that it holds is empty, where the
parameter named by its ``when`` is false or empty, or where the one named by its ``unless`` is not. Variables of IAM's
own, such as ``${aws:PrincipalTag/eks-cluster-name}``, hold a colon and are left alone.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import json
import pathlib
import re
import typing as t

from ..module_utils._workload.validation import shown

FOLDER = pathlib.Path(__file__).with_name("policies")
PLACEHOLDER = re.compile(r"\$\{([a-z_0-9]+)\}")
#: Characters of all inline policies of a role together, white space left out
#: (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html).
INLINE_LIMIT = 10_240

Value = str | bool | list[str]
Statement = dict[str, t.Any]


class PolicyError(ValueError):
    """A policy that cannot be made; the message has one sentence for each reason."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """What a policy is to be told."""

    type: t.Literal["str", "bool", "list"]
    description: str
    #: What a text, or each text of a list, looks like as a whole, and one that does.
    pattern: str = ""
    like: str = ""
    #: None where the parameter must be given.
    default: Value | None = None

    def example(self) -> str:
        """What to give, for a message."""
        one = shown(self.like)
        return f"a list, such as [{one}]" if self.type == "list" else f"a text, such as {one}"

    def problems(self, name: str, value: object) -> t.Iterator[str]:
        """One sentence for each reason why this cannot be the parameter's value."""
        if self.type == "bool":
            if not isinstance(value, bool):
                yield f"{name} is {shown(value)}: give true or false."
            return
        if self.type == "list" and not isinstance(value, list):
            yield f"{name} is {shown(value)}: give {self.example()}."
            return
        if not value and self.default is None:
            yield f"{name} is empty: give {self.example()}."
            return
        for text in value if isinstance(value, list) else [value]:
            if not isinstance(text, str) or not re.fullmatch(self.pattern, text, re.ASCII):
                yield f"{name} holds {shown(text)}: give one such as {shown(self.like)}."


#: What every policy may be told.
PARTITION = Parameter(
    "str", "The partition of the ARNs that are not given, such as V(aws-cn).", "aws[a-z-]*", "aws-us-gov", "aws"
)


@dataclasses.dataclass(frozen=True)
class Policy:
    """A data file."""

    name: str
    description: str
    #: Where AWS or the makers of the controller document its permissions.
    source: str
    #: The usual namespace and name; None where it is the workload's own.
    service_account: t.Mapping[str, str] | None
    parameters: t.Mapping[str, Parameter]
    statements: t.Sequence[Statement]
    #: Characters that it may have, and where, with what to do about it.
    limit: int = INLINE_LIMIT
    kept_in: str = "a role: give fewer values"

    def problems(self, given: t.Mapping[str, object]) -> list[str]:
        """One sentence for each reason why these cannot be the parameters."""
        known = {**self.parameters, "partition": PARTITION}
        found = [
            f"{name} is no parameter of it: give {', '.join(known)}{near(name, known)}."
            for name in given
            if name not in known
        ]
        for name, parameter in known.items():
            if name in given:
                found += parameter.problems(name, given[name])
            elif parameter.default is None:
                found.append(f"{name} is missing: give {parameter.example()}.")
        return found

    def document(self, given: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """The policy document for these parameters; raises PolicyError."""
        problems = self.problems(given)
        if problems:
            raise PolicyError("\n".join(f"Policy {self.name}: {problem}" for problem in problems))
        defaults = {name: parameter.default for name, parameter in self.parameters.items()}
        values = {**defaults, "partition": PARTITION.default, **given}
        made = [_filled(statement, values) for statement in self.statements]
        document = {"Version": "2012-10-17", "Statement": [statement for statement in made if statement]}
        if not document["Statement"]:
            raise PolicyError(f"Policy {self.name} would allow nothing: give at least one of {', '.join(defaults)}.")
        if size(document) > self.limit:
            raise PolicyError(
                f"Policy {self.name} has {size(document)} characters with these parameters, more than the "
                f"{self.limit} that IAM keeps in {self.kept_in}."
            )
        return document


def names() -> list[str]:
    """The names of all policies, in order."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def policy(name: object) -> Policy:
    """The policy of this name; raises PolicyError for one that is not there."""
    if name not in names():
        raise PolicyError(f"There is no policy {shown(name)}{near(name, names())}. There are: {', '.join(names())}.")
    data = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    parameters = {each: Parameter(**parameter) for each, parameter in data.pop("parameters").items()}
    return Policy(parameters=parameters, **data)


def size(document: t.Mapping[str, t.Any]) -> int:
    """The characters of a policy document that count towards IAM's limits."""
    return len(re.sub(r"\s", "", json.dumps(document)))


def _filled(statement: Statement, values: t.Mapping[str, Value]) -> Statement | None:
    """The statement with its parameters' values, or None where it is left out."""
    wanted = values[statement["when"]] if "when" in statement else True
    if not wanted or ("unless" in statement and values[statement["unless"]]):
        return None
    filled = {key: value for key, value in statement.items() if key not in ("when", "unless")}
    filled["Resource"] = _expanded(statement["Resource"], values)
    complete = bool(filled["Resource"])
    if "Condition" in statement:
        filled["Condition"] = {
            operator: {_expanded([key], values)[0]: _expanded(texts, values) for key, texts in keys.items()}
            for operator, keys in statement["Condition"].items()
        }
        complete &= all(texts for keys in filled["Condition"].values() for texts in keys.values())
    return filled if complete else None


def _expanded(texts: t.Iterable[str], values: t.Mapping[str, Value]) -> list[str]:
    """The texts with values for placeholders; one text for each combination where they are lists."""
    found = []
    for text in texts:
        held = list(dict.fromkeys(PLACEHOLDER.findall(text)))
        choices = [value if isinstance(value := values[name], list) else [str(value)] for name in held]
        for chosen in itertools.product(*choices):
            made = text
            for name, value in zip(held, chosen, strict=True):
                made = made.replace(f"${{{name}}}", value)
            found.append(made)
    return found


def near(name: object, known: t.Iterable[str]) -> str:
    """A question after a name that may be misspelt."""
    near = difflib.get_close_matches(str(name), list(known)) or [each for each in known if str(name) in each]
    return f" (did you mean {' or '.join(near)}?)" if near else ""
