"""From what a model wrote to an object of the class that was asked for. It is done when somebody asks, not before.

Strictness: what is not of the schema's type does not fit. msgspec converts plain values without coercion ("1" is no
number, 1 is no `True`), cattrs makes the objects and allows no other members. A member that is absent is an error
unless the class has a default for it: OpenAI always sends them all, other servers may not.
"""

from __future__ import annotations

import enum
import functools
import typing
from collections.abc import Callable, Hashable
from typing import Annotated, Any, Generic, Literal, TypeVar, cast

import attrs
import cattrs
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn

from trio_openai._wire.json import decode_strictly, is_array, is_object
from trio_openai._wire.text import unfenced, utf8
from trio_openai.types._raw import Raw
from trio_openai.types.parsed import Said, Unparsed

from . import schema
from .models import is_model, model_hook, validation_error
from .schema import JSONSchema

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]

UNFIT = (cattrs.BaseValidationError, ValueError)
"""What a hook raises of a value that does not fit."""

_LONGEST_PATH = 200
_INSTALL = "{what}: pip install 'trio-openai[structured]'"


@attrs.frozen
class AnswerFormat(Generic[T]):
    """A class as the format of an answer.

    Attributes:
        cls: the class.
        json_schema: what the API takes: `name`, `schema`, `strict`.
    """

    cls: type[T]
    json_schema: JSONSchema
    _hook: Hook = attrs.field(repr=False)

    def judge(self, said: Said) -> T | Unparsed:
        """Return an object of the class, or the reason why there is none. Never raises because of the answer."""
        text, refusal = said.text, said.refusal
        if said.stopped == "unfinished" or refusal is not None:
            return Unparsed(said.stopped if said.stopped == "unfinished" else "refusal", text, refusal)
        if not text or text.isspace():
            return Unparsed(said.stopped or "no_text", text)
        try:
            return self.parse(text)
        except ValueError as error:
            problems = () if said.stopped else tuple(error.args)
            return Unparsed(said.stopped or "invalid", text, problems=problems)

    def parse(self, text: str) -> T:
        """Make an object of the class from JSON, which may be in one Markdown fence.

        Raises:
            ValueError: it does not fit; its arguments are sentences.
        """
        value = decoded(unfenced(text))
        try:
            made: T = self._hook(value, self.cls)
        except UNFIT as error:
            raise ValueError(*problems(error, "$")) from None
        return made


def answer_format(cls: type[T]) -> AnswerFormat[T]:
    """Return the format of answers for a class. It is made once and cached.

    Raises:
        TypeError: the class has something that a schema cannot say.
        ImportError: what is needed for it is not installed.
    """
    try:
        import jiter  # noqa: F401  # pyright: ignore[reportUnusedImport] - missing it now is better than half way
        import msgspec  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise ImportError(_INSTALL.format(what="structured outputs need msgspec and jiter")) from error
    return cast("AnswerFormat[T]", _answer_format(cast("Hashable", cls)))


@functools.lru_cache(maxsize=256)
def _answer_format(cls: Any) -> AnswerFormat[Any]:
    description = {"name": schema.schema_name(cls), "schema": schema.strict_schema(cls), "strict": True}
    return AnswerFormat(cls, description, _converter().get_structure_hook(cls))


def need_msgspec() -> None:
    """See to it that what makes schemas of functions is there.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import msgspec  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise ImportError(_INSTALL.format(what="functions as tools need msgspec")) from error


def hooks_for(annotations: dict[str, Any]) -> dict[str, Hook]:
    """Return the functions that make objects of decoded JSON, by the same names."""
    converter = _converter()
    return {name: converter.get_structure_hook(annotation) for name, annotation in annotations.items()}


def decoded(text: str) -> object:
    """Decode the JSON that a model wrote.

    Raises:
        ValueError: it is none.
    """
    try:
        return decode_strictly(utf8(text))
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None


def problems(error: Exception, path: str) -> list[str]:
    """Describe what does not fit in the value at a path, one sentence for each problem."""
    if not isinstance(error, cattrs.BaseValidationError):
        return [f"{path}: {error}"]
    return [_path_first(problem) for problem in cattrs.transform_error(error, path, format_exception=_sentence)]


def _path_first(problem: str) -> str:
    sentence, _, path = problem.rpartition(" @ ")
    return f"{path if len(path) <= _LONGEST_PATH else path[:_LONGEST_PATH] + '...'}: {sentence}"


def _sentence(error: BaseException, _: type | None) -> str:
    """Describe the problem of a single value."""
    if isinstance(error, KeyError):
        return "it is missing" if _is_of_member(error) else f"KeyError: {error}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return f"there is no {' or '.join(sorted(map(repr, error.extra_fields)))}"
    return str(error) or type(error).__name__


def _is_of_member(error: KeyError) -> bool:
    """Return whether the error is about a missing member, and was not raised by the class itself."""
    notes: list[object] = getattr(error, "__notes__", [])
    return any(isinstance(note, cattrs.AttributeValidationNote) and note.name in error.args for note in notes)


# ---------------------------------------------------------------------------------------------------- JSON to an object


def _converter() -> cattrs.Converter:
    """Make a converter for one class and the classes in its annotations."""
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    # the last one that fits counts
    factories: list[tuple[Callable[[Any], bool], Callable[[Any, cattrs.Converter], Hook]]] = [
        (schema.is_fielded, _object_hook),
        (_is_array, _array_hook),
        (_is_union, _union_hook),
    ]
    for predicate, factory in factories:
        converter.register_structure_hook_factory(predicate, _with(converter, factory))
    converter.register_structure_hook_factory(schema.is_plain_value, _plain_hook)
    hook_of = functools.cache(_plain_hook)
    for kind in (str, int, float, bool, enum.Enum):  # cattrs asks no predicate about these, and would make 1 of "1"
        converter.register_structure_hook(kind, lambda value, cls: hook_of(cls)(value, cls))  # a subclass, too
    return converter


def _with(converter: cattrs.Converter, factory: Callable[[Any, cattrs.Converter], Hook]) -> Callable[[Any], Hook]:
    return lambda annotation: factory(annotation, converter)


def _is_array(annotation: Any) -> bool:
    return schema.item_of(schema.plain(annotation)[0]) is not None


def _is_union(annotation: Any) -> bool:
    return len(schema.members_of(annotation)) > 1


def _plain_hook(annotation: Any) -> Hook:
    import msgspec

    bare, remarks = schema.plain(annotation)
    if typing.get_origin(bare) is Literal:
        return _literal_hook(typing.get_args(bare))
    wanted: Any = Annotated[bare, *remarks] if remarks else bare

    def structure(value: Any, _: Any) -> Any:
        try:
            return msgspec.convert(value, wanted)
        except msgspec.ValidationError as error:  # which is a ValueError only since msgspec 0.20
            raise ValueError(*error.args) from None

    return structure


def _literal_hook(values: tuple[Any, ...]) -> Hook:
    allowed: set[tuple[type[Any], Any]] = {(type(value), value) for value in values}  # True is not 1

    def structure(value: Any, _: Any) -> Any:
        if value.__hash__ is None or (type(value), value) not in allowed:
            raise ValueError(f"Expected {' or '.join(map(repr, values))}, got {_kind(value)}")
        return value

    return structure


def _object_hook(cls: type[Any], converter: cattrs.Converter) -> Hook:
    if is_model(cls):
        inner = model_hook(cls)
    elif schema.is_typed_dict(cls):
        inner = _typed_dict_hook(cls, converter)
    else:
        inner = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True)

    def structure(value: Any, _: Any) -> Any:
        if not is_object(value):
            raise ValueError(f"Expected an object, got {_kind(value)}")
        return inner(value, cls)

    return structure


def _typed_dict_hook(cls: type[Any], converter: cattrs.Converter) -> Hook:
    """Return the function that checks a dictionary and makes its values.

    cattrs has one, but it asks `__required_keys__`, which is wrong of a module with `from __future__ import
    annotations`.
    """
    fields = {field.name: field for field in schema.fields_of(cls)}

    def structure(value: Raw, _: Any) -> Raw:
        made: Raw = {}
        errors: list[Exception] = []
        for name, field in fields.items():
            try:
                if name in value:
                    made[name] = converter.structure(value[name], field.annotation)
                elif field.is_required:
                    raise KeyError(name)
            except Exception as error:  # noqa: BLE001 - as in hooks of cattrs, also of the class itself
                error.add_note(cattrs.AttributeValidationNote("", name, field.annotation))
                errors.append(error)
        if unknown := value.keys() - fields.keys():
            errors.append(cattrs.ForbiddenExtraKeysError("", cls, unknown))
        if errors:
            raise validation_error(errors, cls)
        return made

    return structure


def _array_hook(annotation: Any, converter: cattrs.Converter) -> Hook:
    bare, remarks = schema.plain(annotation)
    items: Any = list[schema.item_of(bare)]  # type: ignore[misc]
    inner: Hook = list_structure_factory(items, converter)
    check = _plain_hook(Annotated[list[Any], *remarks]) if remarks else None
    is_tuple = bare.__origin__ is tuple

    def structure(value: Any, _: Any) -> Any:
        if not is_array(value):
            raise ValueError(f"Expected a list, got {_kind(value)}")
        if check is not None:
            check(value, None)
        made: list[Any] = inner(value, items)
        return tuple(made) if is_tuple else made

    return structure


def _union_hook(annotation: Any, converter: cattrs.Converter) -> Hook:
    """Choose a member by what kind of value there is; among classes, as `schema.py` makes sure that one can."""
    members = schema.members_of(annotation)
    bare = [schema.plain(member)[0] for member in members]
    plain = [_plain_hook(member) for member in members if schema.is_plain_value(member)]
    arrays = [converter.get_structure_hook(member) for member in members if _is_array(member)]
    shapes = [_Shape.of(cls, converter) for cls in bare if schema.is_fielded(cls)]
    words = " or ".join(map(schema.words_of, members))

    def structure(value: Any, _: Any) -> Any:
        if is_object(value) and (shape := _fitting(shapes, value)) is not None:
            return shape.hook(value, shape.cls)
        if is_array(value) and arrays:
            return arrays[0](value, None)
        for hook in plain:
            try:
                return hook(value, None)
            except ValueError:
                continue
        raise ValueError(f"Expected {words}, got {_kind(value)}")

    return structure


@attrs.frozen
class _Shape:
    """The JSON objects that may belong to a class."""

    cls: type[Any]
    hook: Hook
    tags: dict[str, set[tuple[type, object]]]
    required: frozenset[str]
    known: frozenset[str]

    @classmethod
    def of(cls, of: type[Any], converter: cattrs.Converter) -> _Shape:
        # The hook is looked up late, since the class may refer to itself.
        return cls(of, converter.structure, schema.tags_of(of), *schema.keys_of(of))

    def is_tagged(self, value: Raw) -> bool:
        return all(
            name not in value or ((tag := value[name]).__hash__ and (type(tag), tag) in values)
            for name, values in self.tags.items()
        )

    def is_like(self, value: Raw) -> bool:
        return self.required <= value.keys() <= self.known


def _fitting(shapes: list[_Shape], value: Raw) -> _Shape | None:
    """Return the shape that a value has, or comes closest to."""
    tagged = [shape for shape in shapes if shape.is_tagged(value)] if len(shapes) > 1 else shapes
    alike = [shape for shape in tagged if shape.is_like(value)] if len(tagged) > 1 else tagged
    return alike[0] if alike else None


_KINDS: dict[type, str] = {dict: "an object", list: "a list", type(None): "null"}


def _kind(value: object) -> str:
    return _KINDS.get(type(value)) or f"`{type(value).__name__}`"
