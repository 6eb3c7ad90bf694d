"""The layouts that ingest reads, by the name that a recipe gives them."""

from hazardline.ingest.adapter import Adapter, AdapterFactory
from hazardline.ingest.adapters.crashchat import CrashChatAdapter
from hazardline.ingest.adapters.d2_city import D2CityAdapter
from hazardline.ingest.adapters.drama import DramaAdapter
from hazardline.ingest.adapters.hazardqa import HazardQaAdapter
from hazardline.ingest.adapters.native import NativeAdapter
from hazardline.ingest.adapters.nexar import NexarAdapter
from hazardline.ingest.config import SourceConfig, SourceName
from hazardline.ingest.place import Place

ADAPTERS: dict[SourceName, AdapterFactory] = {
    "native": NativeAdapter,
    "nexar": NexarAdapter,
    "crashchat": CrashChatAdapter,
    "d2_city": D2CityAdapter,
    "drama": DramaAdapter,
    "hazardqa": HazardQaAdapter,
}


def adapter_of(place: Place, config: SourceConfig) -> Adapter:
    """The adapter of a configured layout over a place."""
    return ADAPTERS[config.source](place, config)
