"""The layouts that ingest reads, by the name that a recipe gives them."""

from hazardline.ingest.adapter import Adapter, AdapterFactory
from hazardline.ingest.adapters.badas import BadasAdapter
from hazardline.ingest.adapters.ccd import CcdAdapter
from hazardline.ingest.adapters.crashchat import CrashChatAdapter
from hazardline.ingest.adapters.d2_city import D2CityAdapter
from hazardline.ingest.adapters.dada2000 import Dada2000Adapter
from hazardline.ingest.adapters.dota import DotaAdapter
from hazardline.ingest.adapters.drama import DramaAdapter
from hazardline.ingest.adapters.hazardqa import HazardQaAdapter
from hazardline.ingest.adapters.mm_au import MmAuAdapter
from hazardline.ingest.adapters.native import NativeAdapter
from hazardline.ingest.adapters.nexar import NexarAdapter
from hazardline.ingest.config import SourceConfig, SourceName
from hazardline.ingest.place import Place

ADAPTERS: dict[SourceName, AdapterFactory] = {
    "native": NativeAdapter,
    "nexar": NexarAdapter,
    "mm_au": MmAuAdapter,
    "dada2000": Dada2000Adapter,
    "ccd": CcdAdapter,
    "dota": DotaAdapter,
    "badas": BadasAdapter,
    "drama": DramaAdapter,
    "d2_city": D2CityAdapter,
    "crashchat": CrashChatAdapter,
    "hazardqa": HazardQaAdapter,
}


def adapter_of(place: Place, config: SourceConfig) -> Adapter:
    """The adapter of a configured layout over a place."""
    return ADAPTERS[config.source](place, config)
