"""One line about every parameter of the API. `help()` and the reference show it; a test checks that none is missing.

The types are declared in `types/params.py` and `types/stored_params.py`. Many endpoints share a parameter, so it is
described here once, by its name. `_SPECIAL` has the few that mean something else in the parameters of some endpoints.
"""

from __future__ import annotations

import functools

_COMMON = {
    # every call
    "extra_headers": "Headers to add to the request. They replace headers of the same names.",
    "extra_query": "Parameters to add to the URL.",
    "extra_body": "Members to add to the body, for parameters that this library does not know.",
    "timeout": "Seconds, `Deadlines`, or None for no limit, for this request instead of the client's `timeout`.",
    # what the model reads
    "model": "The id of the model, such as `gpt-4o-mini`.",
    "messages": "The conversation so far: dictionaries with a `role` and `content`, or objects of earlier answers.",
    "input": "What the model reads: text, or a list of messages, results of tools and other items.",
    "instructions": "Directions for the model that stand before the input, like a system message.",
    "prompt": "A prompt that is stored at the server: its `id` and its `variables`.",
    "conversation": "The stored conversation, or its id. The input and the answer are added to it.",
    "previous_response_id": "The id of the stored response that this one continues.",
    "context_management": "Rules for long conversations, such as when the server compacts the context.",
    "truncation": "`auto` drops the oldest items if the context is too long; `disabled` makes that an error.",
    "include": "Extra parts of the answer that are only sent on request, such as `message.output_text.logprobs`.",
    "personality": "The name of a style of the model, such as `friendly`.",
    # how the model answers
    "temperature": "How random the answer is, from 0 to 2. Lower values give more predictable answers.",
    "top_p": "Choose only among the most likely tokens whose probabilities add up to this number, from 0 to 1.",
    "n": "The number of answers. All of them are paid for.",
    "seed": "A number that makes answers to the same request more alike, if the server supports it.",
    "stop": "Up to four texts that end the answer. The answer does not contain them.",
    "max_tokens": "The most tokens that the answer may have. Newer models take `max_completion_tokens`.",
    "max_completion_tokens": "The most tokens that the answer may have, including those of its reasoning.",
    "max_output_tokens": "The most tokens that the answer may have, including those of its reasoning.",
    "frequency_penalty": "From -2 to 2. Higher values make the model repeat tokens less, the more often they occurred.",
    "presence_penalty": "From -2 to 2. Higher values make the model repeat tokens less, if they occurred at all.",
    "logit_bias": "Make tokens more or less likely: from the ids of tokens to numbers from -100 to 100.",
    "logprobs": "Whether to return the log probability of every token of the answer.",
    "top_logprobs": "The number of most likely tokens, up to 20, to return for every place of the answer.",
    "reasoning": "How the model reasons before it answers: `effort`, `summary` and other settings.",
    "reasoning_effort": "How much the model reasons before it answers, such as `low`, `medium` or `high`.",
    "verbosity": "How long the answer is: `low`, `medium` or `high`.",
    "modalities": "The kinds of output: `text`, `audio` or both.",
    "audio": "The `voice` and the `format` of a spoken answer. It needs `audio` among the `modalities`.",
    "prediction": "Text that the answer is likely to contain, such as a file to be edited. It makes the answer faster.",
    "response_format": "The format of the answer: a dictionary, or a class that the answer is parsed into.",
    "text": "The format of the text, such as a JSON schema, and its `verbosity`.",
    "text_format": "A class that the answer is parsed into. Its JSON schema is sent as `text`.",
    "ask_again": "The number of further requests if an answer does not fit the class of its format. 0 if left out.",
    "image": "Settings for the images of the request.",
    "web_search_options": "Let the model search the web: the size of the context and the location of the user.",
    # tools
    "tools": "The tools that the model may call: functions, `Tool`s, or dictionaries.",
    "tool_choice": "Which tool to call: `auto`, `none`, `required`, or a dictionary that names one.",
    "parallel_tool_calls": "Whether the model may call several tools at once.",
    "max_tool_calls": "The most calls of the server's own tools, such as its web search, in the whole response.",
    "functions": "The functions that the model may call, for old servers. Newer ones take `tools`.",
    "function_call": "Which function to call, for old servers. Newer ones take `tool_choice`.",
    # streams
    "usage": "Whether to ask for the token usage of a stream. If the server refuses that, it is asked without.",
    "stream_options": "Settings of the stream, such as `include_usage`. See also `usage`.",
    "include_obfuscation": "Whether the events of a stream are padded, which hides the lengths of their texts.",
    "starting_after": "The `sequence_number` of the event after which the stream begins.",
    "resume": "Whether to continue a broken stream where it broke. It needs `background=True`. It is not sent.",
    # where and how the server works
    "background": "Whether the server generates the response even if nobody is connected.",
    "background_options": "Settings for background responses, such as how long one may take.",
    "store": "Whether the server stores the answer.",
    "metadata": "Up to 16 names and texts of your own, which the server stores with the object.",
    "service_tier": "The speed and price class of the request, such as `auto`, `flex` or `priority`.",
    "access_programs": "The special access programs of your organization that the request uses.",
    "moderation": "Check the input and the answer for harmful content; the dictionary says how.",
    "prompt_cache_key": "A text that is the same for requests with the same beginning, so that the cache finds it.",
    "prompt_cache_options": "How the beginning of the prompt is cached: its `mode` and its `ttl`.",
    "prompt_cache_retention": "How long the start of the prompt is cached. Newer models take `prompt_cache_options`.",
    "safety_identifier": "A text that identifies your user without naming them, to help find abuse.",
    "user": "A text that identifies your user. Newer servers take `safety_identifier` and `prompt_cache_key`.",
    # lists and stored objects
    "after": "The id of the item after which the list begins.",
    "limit": "The most items in one page.",
    "order": "`asc` for the oldest first, or `desc` for the newest first.",
    "items": "The items of the conversation, such as messages: dictionaries, or objects of earlier answers.",
    "purpose": "What the file is for, such as `batch`, `fine-tune` or `user_data`.",
    "file": "The file: its path, its bytes, or a file that is open in binary mode. A tuple adds a name and a type.",
    "expires_after": "When the server deletes the file: an `anchor` and a number of `seconds` after it.",
    "completion_window": "The time in which the batch has to be done. OpenAI accepts only `24h`.",
    "endpoint": "The path that every request of the batch goes to, such as `/v1/chat/completions`.",
    "input_file_id": "The id of the uploaded file with the requests.",
    "output_expires_after": "When the server deletes the results: an `anchor` and a number of `seconds`.",
    # completions
    "best_of": "The number of answers to generate, of which the `n` most likely are returned.",
    "echo": "Whether the answer begins with the prompt.",
    "suffix": "The text that comes after the answer, for models that fill a gap.",
    # images
    "complexity": "How much the model plans the image before it draws it: `low`, `medium` or `high`.",
    "frame_count": "The number of frames of an animated GIF.",
    "frame_duration_ms": "The milliseconds that each frame of an animated GIF is shown.",
    "input_fidelity": "How closely the result follows the given images: `high` or `low`.",
    "markup": "A transparent PNG that lies over the first image and shows what to change.",
    "mask": "A PNG of the same size. Its transparent parts are where the first image may change.",
    "output_compression": "The quality of a JPEG or WebP image in percent, from 0 to 100.",
    "output_format": "The file format of the images, such as `png`, `jpeg` or `webp`.",
    "partial_images": "The number of sketches, up to 3, that a stream sends before the finished image.",
    "quality": "The quality of the images, such as `low`, `medium`, `high` or `auto`.",
    "size": "The width and height in pixels, such as `1024x1024`, or `auto`.",
    "style": "The style of the images, for old models: `vivid` or `natural`.",
    "svg": 'The model that writes an SVG image, and its effort. It needs `output_format="svg"`.',
    # audio
    "voice": "The name of the voice, or a dictionary with the `id` of your own voice.",
    "speed": "The speed of the voice, from 0.25 to 4.",
    "language": "The language of the recording as an ISO 639-1 code, such as `en`. Naming it helps the model.",
    "languages": "The languages that the recording may have, as ISO 639-1 codes.",
    "keywords": "Words that occur in the recording, such as names, which the model should spell this way.",
    "known_speaker_names": "The names of up to four speakers, whose voices are in `known_speaker_references`.",
    "known_speaker_references": "A recording of each known speaker, from 2 to 10 seconds, as `data:` URLs.",
    "chunking_strategy": "How the recording is divided: `auto`, or a dictionary with settings for finding pauses.",
    "timestamp_granularities": 'What gets times: `word`, `segment` or both. It needs `response_format="verbose_json"`.',
    # embeddings
    "dimensions": "The length of each vector, for models that can shorten it.",
    "encoding_format": "`float` or `base64`. If it is left out, base64 is requested and decoded to lists of floats.",
}

_SPECIAL = {
    "ChatCompletionList": {
        "model": "List only completions of this model.",
        "metadata": "List only completions with this metadata.",
    },
    "ChatCompletionUpdate": {"metadata": "The new metadata, which replaces all of the old."},
    "Completion": {
        "prompt": "The text to continue; several texts; or the ids of tokens.",
        "logprobs": "The number of most likely tokens, up to 5, to return for every place of the answer.",
        "n": "The number of answers to each prompt. All of them are paid for.",
        "max_tokens": "The most tokens that the answer may have.",
    },
    "Response": {"stream_options": "Settings of the stream, such as `include_obfuscation`."},
    "Conversation": {
        "metadata": "Up to 16 names and texts of your own, which the server stores with the conversation."
    },
    "ConversationUpdate": {"metadata": "The new metadata, which replaces all of the old."},
    "FileList": {"purpose": "List only files with this purpose."},
    "Image": {
        "prompt": "A description of the images.",
        "background": "The background of the images: `transparent`, `opaque` or `auto`.",
        "model": "The id of the model, such as `gpt-image-1.5`.",
        "moderation": "How strictly the images are checked: `auto` or `low`.",
        "n": "The number of images. All of them are paid for.",
        "response_format": "How old models return an image: `url` or `b64_json`. Newer ones always send base64.",
    },
    "ImageEdit": {"image": "The image to change, or several: paths, bytes, or files that are open in binary mode."},
    "Transcription": {
        "prompt": "A text that sets the style, or what was said before the recording begins.",
        "include": "Extra parts of the answer that are only sent on request: `logprobs`.",
        "temperature": "How random the answer is, from 0 to 1. Lower values give more predictable answers.",
        "response_format": "`json`, `text`, `srt`, `vtt`, `verbose_json` or `diarized_json`. It decides the class.",
    },
    "Translation": {
        "temperature": "How random the answer is, from 0 to 1. Lower values give more predictable answers.",
        "prompt": "An English text that sets the style, or what was said before the recording begins.",
        "response_format": "`json`, `text`, `srt`, `vtt` or `verbose_json`. It decides the class.",
    },
    "Speech": {
        "input": "The text to speak.",
        "instructions": "How to speak, such as the mood.",
        "response_format": "The format of the sound, such as `mp3`, `opus`, `wav` or `pcm`.",
    },
    "Embedding": {"input": "The text; several texts; or the ids of tokens."},
    "Moderation": {"input": "The text; several texts; or a list of dictionaries with texts and images."},
}
"""Descriptions for the `TypedDict`s whose names begin with the key. Of several that fit, the last one counts."""


@functools.cache
def descriptions(typed_dict: str) -> dict[str, str]:
    """Return the descriptions of the parameters of an endpoint, by their names, and those of others.

    Args:
        typed_dict: The name of the class that declares the parameters, such as "ImageEditParams".
    """
    found = dict(_COMMON)
    for start, own in _SPECIAL.items():
        if typed_dict.startswith(start):
            found.update(own)
    return found


def all_described() -> set[str]:
    """Return the names of all parameters that have a description."""
    return {*_COMMON, *(name for own in _SPECIAL.values() for name in own)}
