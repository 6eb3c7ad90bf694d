"""Settings of the annotator that asks an OpenAI-compatible endpoint."""

from typing import Annotated, Literal

from pydantic import Field

from hazardline.documents import Document

NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class EndpointConfig(Document):
    """A vision-language model behind HTTP: where it is, how it is asked, and what it may cost.

    What decides an answer (model, sampling, frames) stands in its cache key; the rest may be changed without paying
    for anything again.
    """

    model: Annotated[str, Field(min_length=1)]
    """The model's name at the endpoint, with its date where it has one: an alias may change its meaning."""
    base_url: str | None = None
    """Address up to and with `/v1`; without it `HAZARDLINE_ANNOTATOR_URL`, which is OpenAI's where it is not set."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0.7
    """Sampling temperature (HazardQA's; arXiv 2502.20572); null for models that refuse one."""
    seed: int = 0
    """Sampling seed of the first attempt; the next attempt has the next one."""
    max_tokens: Count = 1000
    """Longest answer."""
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the endpoint calls that limit; OpenAI's reasoning models know the second only."""
    structured: Literal["auto", "json_schema", "json_object", "text"] = "auto"
    """How answers are held to their schema; `auto` takes the first of the others that the endpoint does not refuse."""
    num_frames: Count = 5
    """Frames of a clip that are shown; of an image there is one."""
    image_width_px: Annotated[int, Field(ge=16, le=4096)] = 512
    """Frames that are wider are made smaller."""
    image_quality: Annotated[int, Field(ge=1, le=95)] = 85
    """JPEG quality."""
    concurrency: Count = 4
    """Requests in flight."""
    requests_per_minute: Annotated[float, Field(gt=0)] = 500.0
    tokens_per_minute: Annotated[float, Field(gt=0)] = 200_000.0
    """Tokens of prompts and answers."""
    timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """For one request."""
    max_attempts: Count = 3
    """Answers that may be paid for one clip, where the first is of no use (refused, cut short, of another form)."""
    max_tries: Count = 6
    """Requests for one answer, where the endpoint is busy, fails or is not reached."""
    longest_wait_s: NotNegative = 60.0
    """Longest pause between such tries; a longer `Retry-After` ends them."""
    usd_per_million_input: NotNegative
    usd_per_million_output: NotNegative
    """Prices of tokens; 0 for a server of your own."""
    tokens_per_image: Count = 1445
    """Most tokens that an image is charged with (GPT-4o, high detail); for the estimate before a request is sent."""
    budget_usd: NotNegative
    """The most that may be paid for annotations with these settings, by all runs with one HAZARDLINE_HOME together."""
    max_failed_share: Annotated[float, Field(ge=0, le=1)] = 0.02
    """The stage fails where a larger share of the clips that were asked about has no usable answer in the end."""
