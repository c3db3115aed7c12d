"""Operations of the API that return a plain result, and the path of a request.

An operation, in OpenAPI's sense, is an HTTP method with a path. A path may name places in braces, such as
`/responses/{response_id}`. The arguments that fill them are the only ones that a program may pass by position.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import attrs

from trio_openai._protocols.plain_answers import Decode
from trio_openai._request.exchange import Exchange
from trio_openai._request.headers import hide_headers
from trio_openai._request.request import PreparedRequest, as_mapping, query_of_params
from trio_openai._request.session import Session
from trio_openai._wire.text import path_segment

from ._parameters import Parameters, refuse_positional

ResultT = TypeVar("ResultT")
Params = dict[str, Any]


@attrs.frozen(eq=False, repr=False)
class Operation(Generic[ResultT]):
    """An operation that never streams.

    Attributes:
        method: The HTTP method.
        path: The path after the `base_url`, with places in braces.
        parameters: The parameters that it takes beside those in the path.
        decode: Makes the result of the response's body.
        files: The names of parameters that are files. If there are any, the body is a form.
        in_url: The names of parameters that are sent in the URL although there is a body.
        binary: Whether the response is bytes instead of JSON.
    """

    method: str
    path: str
    parameters: Parameters
    decode: Decode[ResultT]
    files: tuple[str, ...] = ()
    in_url: tuple[str, ...] = ()
    binary: bool = False

    async def __call__(self, session: Session, where: tuple[str, ...], params: Params) -> ResultT:
        """Send a request and return its result.

        Raises:
            TypeError, ValueError: A parameter cannot be sent. Nothing has been sent.
            APIError: The request failed.
        """
        return await Exchange(session, self.prepare(session, where, params)).answer(self.decode)

    def prepare(self, session: Session, where: tuple[str, ...], params: Params) -> PreparedRequest:
        """Check the parameters and prepare the request. Nothing is sent.

        Args:
            session: The client's session.
            where: The positional arguments, which fill the places of the path.
            params: The keyword arguments.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
        """
        hide_headers(params)
        path, params = fill_path(self.path, where, params)
        checked = self.parameters.check(params)
        if in_url := {name: checked.pop(name) for name in self.in_url if name in checked}:
            more = as_mapping(checked.get("extra_query"), "extra_query")
            checked["extra_query"] = {**query_of_params(in_url), **more}
        # Where parameters are expected, `{}` is sent if there are none.
        always: Params | None = {} if self.parameters.are_expected else None
        return session.prepare(
            self.method,
            path,
            checked,
            stream=False,
            always=always,
            files=self.files,
            binary=self.binary,
            endpoint=self.path,
        )


def fill_path(path: str, where: tuple[str, ...], params: Params) -> tuple[str, Params]:
    """Fill the places of a path with positional or keyword arguments.

    Returns:
        The path, and the keyword arguments that are not in it.

    Raises:
        TypeError: An argument is missing, is given twice, is not a string, or has no place.
        ValueError: An argument is empty or would change the path.
    """
    if "{" not in path and not where:
        return path, params  # most endpoints: no copy of the parameters
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    if len(where) > len(names):
        refuse_positional(len(where), len(names))
    rest = dict(params)
    for number, name in enumerate(names):
        if number < len(where) and name in rest:
            raise TypeError(f"{name} is given twice: once by position and once by name")
        if number >= len(where) and name not in rest:
            raise TypeError(f"{name} is missing: give it as the first argument")
        given = where[number] if number < len(where) else rest.pop(name)
        path = path.replace(f"{{{name}}}", _quote_id(name, given))
    return path, rest


def _quote_id(name: str, given: object) -> str:
    """Quote an id as one segment of a path.

    Without the check for dots, a server would read `/models/..` as another path, so that an id could reach an operation
    that the program never meant.
    """
    if not isinstance(given, str):
        raise TypeError(f"{name} takes a string, not {type(given).__name__}")
    if given.strip() in ("", ".", ".."):
        raise ValueError(f"{name} takes the id of an object, not {given!r}")
    return path_segment(given)
