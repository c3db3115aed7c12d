"""The dictionaries of tools, of their choice and of text formats in a request for a response.

The names are those of openai-python, with `ToolParam` added to classes that it keeps in modules of their own. What is
said in `chat_params.py` about dictionaries and annotations holds here too.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Required, TypeAlias, TypedDict

from ._base import WireObject
from ._raw import JSONDict
from .chat_params import CustomFormatText, ResponseFormatJSONObject, ResponseFormatText

AllowedCallers: TypeAlias = Sequence[Literal["direct", "programmatic"]] | None

_MayBeAsync = TypedDict("_MayBeAsync", {"async": bool}, total=False)  # a reserved word, so it cannot be a field below


class FunctionToolParam(_MayBeAsync, total=False):
    """A function that the model may call. `parameters` is a JSON schema."""

    name: Required[str]
    type: Required[Literal["function"]]
    allowed_callers: AllowedCallers
    defer_loading: bool
    description: str | None
    output_schema: Mapping[str, Any] | None
    parameters: Mapping[str, Any] | None
    strict: bool | None


class CustomToolGrammar(TypedDict, total=False):
    """A custom tool's input has to match a grammar."""

    definition: Required[str]
    syntax: Required[Literal["lark", "regex"]]
    type: Required[Literal["grammar"]]


class CustomToolParam(_MayBeAsync, total=False):
    """A custom tool, whose input is text."""

    name: Required[str]
    type: Required[Literal["custom"]]
    allowed_callers: AllowedCallers
    defer_loading: bool
    description: str
    format: CustomFormatText | CustomToolGrammar


class NamespaceToolParam(TypedDict, total=False):
    """A group of tools with a name."""

    description: Required[str]
    name: Required[str]
    tools: Required[Iterable[FunctionToolParam | CustomToolParam]]
    type: Required[Literal["namespace"]]


class ComparisonFilter(TypedDict, total=False):
    """A condition on an attribute of a file."""

    key: Required[str]
    type: Required[Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]]
    value: Required[str | float | bool | Sequence[str | float]]


class CompoundFilter(TypedDict, total=False):
    """Several conditions, of which all or one have to hold."""

    filters: Required[Iterable[ComparisonFilter | Mapping[str, Any]]]
    type: Required[Literal["and", "or"]]


class RankingOptionsHybridSearch(TypedDict, total=False):
    """The weights of the two ways to search."""

    embedding_weight: Required[float]
    text_weight: Required[float]


class RankingOptions(TypedDict, total=False):
    """Options for the ranking of the results of a search."""

    hybrid_search: RankingOptionsHybridSearch
    ranker: str
    score_threshold: float


class FileSearchToolParam(TypedDict, total=False):
    """A search in vector stores."""

    type: Required[Literal["file_search"]]
    vector_store_ids: Required[Sequence[str]]
    filters: ComparisonFilter | CompoundFilter | None
    max_num_results: int
    ranking_options: RankingOptions


class ComputerToolParam(TypedDict, total=False):
    """The use of a computer."""

    type: Required[Literal["computer"]]


class ComputerUsePreviewToolParam(TypedDict, total=False):
    """The use of a computer, with the size of its screen in pixels."""

    display_height: Required[int]
    display_width: Required[int]
    environment: Required[Literal["windows", "mac", "linux", "ubuntu", "browser"]]
    type: Required[Literal["computer_use_preview"]]


class WebSearchToolFilters(TypedDict, total=False):
    """The sites that a search may use."""

    allowed_domains: Sequence[str] | None


class WebSearchToolUserLocation(TypedDict, total=False):
    """The approximate place of the user."""

    city: str | None
    country: str | None
    region: str | None
    timezone: str | None
    type: Literal["approximate"]


class WebSearchToolParam(TypedDict, total=False):
    """A search of the web."""

    type: Required[Literal["web_search", "web_search_2025_08_26"]]
    external_web_access: bool
    filters: WebSearchToolFilters | None
    search_context_size: Literal["low", "medium", "high"]
    user_location: WebSearchToolUserLocation | None


class WebSearchPreviewToolParam(TypedDict, total=False):
    """A search of the web, as it was first."""

    type: Required[Literal["web_search_preview", "web_search_preview_2025_03_11"]]
    search_content_types: Sequence[Literal["text", "image"]]
    search_context_size: Literal["low", "medium", "high"]
    user_location: WebSearchToolUserLocation | None


class McpToolFilter(TypedDict, total=False):
    """Some of the tools of an MCP server."""

    read_only: bool
    tool_names: Sequence[str]


class McpToolApprovalFilter(TypedDict, total=False):
    """Which tools of an MCP server need an approval."""

    always: McpToolFilter
    never: McpToolFilter


class McpToolParam(TypedDict, total=False):
    """The tools of an MCP server. openai-python calls it `tool_param.Mcp`."""

    server_label: Required[str]
    type: Required[Literal["mcp"]]
    allowed_callers: AllowedCallers
    allowed_tools: Sequence[str] | McpToolFilter | None
    authorization: str
    connector_id: str
    defer_loading: bool
    headers: Mapping[str, str] | None
    require_approval: McpToolApprovalFilter | Literal["always", "never"] | None
    server_description: str
    server_url: str
    tunnel_id: str


class NetworkPolicyDomainSecret(TypedDict, total=False):
    """A secret that is added to requests to a domain."""

    domain: Required[str]
    name: Required[str]
    value: Required[str]


class ContainerNetworkPolicyParam(TypedDict, total=False):
    """The domains that a container may reach: none, or those of a list."""

    type: Required[Literal["disabled", "allowlist"]]
    allowed_domains: Sequence[str]
    domain_secrets: Iterable[NetworkPolicyDomainSecret]


class CodeInterpreterContainerAuto(TypedDict, total=False):
    """A container that the server makes, with these files."""

    type: Required[Literal["auto"]]
    file_ids: Sequence[str]
    memory_limit: Literal["1g", "4g", "16g", "64g"] | None
    network_policy: ContainerNetworkPolicyParam


class CodeInterpreterToolParam(TypedDict, total=False):
    """Python code that the model writes and the server runs. openai-python calls it `tool_param.CodeInterpreter`."""

    container: Required[str | CodeInterpreterContainerAuto]
    type: Required[Literal["code_interpreter"]]
    allowed_callers: AllowedCallers


class ProgrammaticToolCallingParam(TypedDict, total=False):
    """Programs of the model that call tools."""

    type: Required[Literal["programmatic_tool_calling"]]


class ImageGenerationInputImageMask(TypedDict, total=False):
    """The part of an image that may change."""

    file_id: str
    image_url: str


class ImageGenerationToolParam(TypedDict, total=False):
    """Images that the model makes. openai-python calls it `tool_param.ImageGeneration`."""

    type: Required[Literal["image_generation"]]
    action: Literal["generate", "edit", "auto"]
    background: Literal["transparent", "opaque", "auto"]
    complexity: Literal["low", "medium", "high"]
    frame_count: int
    frame_duration_ms: int
    input_fidelity: Literal["high", "low"] | None
    input_image_mask: ImageGenerationInputImageMask
    model: str
    moderation: Literal["auto", "low"]
    output_compression: int
    output_format: Literal["png", "webp", "jpeg", "gif", "svg"]
    partial_images: int
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto"]
    size: str
    svg: Mapping[str, Any]


class LocalShellToolParam(TypedDict, total=False):
    """A shell that the program runs. openai-python calls it `tool_param.LocalShell`."""

    type: Required[Literal["local_shell"]]


class ContainerAutoParam(TypedDict, total=False):
    """A container that the server makes for a shell."""

    type: Required[Literal["container_auto"]]
    file_ids: Sequence[str]
    memory_limit: Literal["1g", "4g", "16g", "64g"] | None
    network_policy: ContainerNetworkPolicyParam
    skills: Iterable[Mapping[str, Any]]


class LocalEnvironmentParam(TypedDict, total=False):
    """The machine of the program."""

    type: Required[Literal["local"]]
    skills: Iterable[Mapping[str, Any]]


class ContainerReferenceParam(TypedDict, total=False):
    """A container that exists."""

    container_id: Required[str | None]
    type: Required[Literal["container_reference"]]


class FunctionShellToolParam(TypedDict, total=False):
    """Commands of a shell."""

    type: Required[Literal["shell"]]
    allowed_callers: AllowedCallers
    environment: ContainerAutoParam | LocalEnvironmentParam | ContainerReferenceParam | None


class ApplyPatchToolParam(TypedDict, total=False):
    """Changes of files."""

    type: Required[Literal["apply_patch"]]
    allowed_callers: AllowedCallers


class ToolSearchToolParam(TypedDict, total=False):
    """A search in the tools whose loading is deferred."""

    type: Required[Literal["tool_search"]]
    description: str | None
    execution: Literal["server", "client"]
    parameters: Mapping[str, Any] | None


ToolParam: TypeAlias = (
    FunctionToolParam
    | FileSearchToolParam
    | ComputerToolParam
    | ComputerUsePreviewToolParam
    | WebSearchToolParam
    | McpToolParam
    | CodeInterpreterToolParam
    | ProgrammaticToolCallingParam
    | ImageGenerationToolParam
    | LocalShellToolParam
    | FunctionShellToolParam
    | CustomToolParam
    | NamespaceToolParam
    | ToolSearchToolParam
    | WebSearchPreviewToolParam
    | ApplyPatchToolParam
    | WireObject
    | JSONDict
)
"""An item of `tools` as a dictionary."""

# ------------------------------------------------------------------------------------------- the choice of tools


class ToolChoiceAllowedParam(TypedDict, total=False):
    """The choice of some of the tools."""

    mode: Required[Literal["auto", "required"]]
    tools: Required[Iterable[Mapping[str, Any]]]
    type: Required[Literal["allowed_tools"]]


class ToolChoiceFunctionParam(TypedDict, total=False):
    """The choice of one function."""

    name: Required[str]
    type: Required[Literal["function"]]


class ToolChoiceCustomParam(TypedDict, total=False):
    """The choice of one custom tool."""

    name: Required[str]
    type: Required[Literal["custom"]]


class ToolChoiceMcpParam(TypedDict, total=False):
    """The choice of an MCP server, or of one of its tools."""

    server_label: Required[str]
    type: Required[Literal["mcp"]]
    name: str | None


class ToolChoiceApplyPatchParam(TypedDict, total=False):
    """The choice of changing files."""

    type: Required[Literal["apply_patch"]]


class ToolChoiceShellParam(TypedDict, total=False):
    """The choice of the shell."""

    type: Required[Literal["shell"]]


class ToolChoiceTypesParam(TypedDict, total=False):
    """The choice of one of the server's own tools."""

    type: Required[
        Literal[
            "file_search",
            "web_search_preview",
            "computer",
            "computer_use_preview",
            "computer_use",
            "web_search_preview_2025_03_11",
            "image_generation",
            "code_interpreter",
            "programmatic_tool_calling",
        ]
    ]


ToolChoiceOptions: TypeAlias = Literal["none", "auto", "required"]
ToolChoice: TypeAlias = (
    ToolChoiceOptions
    | ToolChoiceAllowedParam
    | ToolChoiceTypesParam
    | ToolChoiceFunctionParam
    | ToolChoiceMcpParam
    | ToolChoiceCustomParam
    | ToolChoiceApplyPatchParam
    | ToolChoiceShellParam
)
"""Which tools the model may call, or has to call."""

# --------------------------------------------------------------------------------------------------- text formats


class ResponseFormatTextJSONSchemaConfigParam(TypedDict, total=False):
    """The text is a JSON object that matches a schema."""

    name: Required[str]
    schema: Required[Mapping[str, Any]]
    type: Required[Literal["json_schema"]]
    description: str
    strict: bool | None


ResponseFormatTextConfigParam: TypeAlias = (
    ResponseFormatText | ResponseFormatTextJSONSchemaConfigParam | ResponseFormatJSONObject | WireObject | JSONDict
)
"""The format of the text."""


class ResponseTextConfigParam(TypedDict, total=False):
    """The format of the text, and its length: `verbosity` is "low", "medium" or "high"."""

    format: ResponseFormatTextConfigParam
    verbosity: str | None


class Reasoning(TypedDict, total=False):
    """Options of reasoning: how much the model thinks, and what it tells about that."""

    context: Literal["auto", "current_turn", "all_turns"] | None
    effort: str | None
    generate_summary: Literal["auto", "concise", "detailed"] | None
    mode: str
    summary: Literal["auto", "concise", "detailed"] | None
