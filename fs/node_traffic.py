"""What all layers of a node share when they fetch: who goes first, how many requests there are, how good the links are, and how long all took."""

from collections import defaultdict

from fs.demand_gate import DemandGate
from fs.durations import Durations
from fs.link_estimate import LinkEstimate
from fs.request_slots import RequestSlots, SlotSettings


class NodeTraffic:
    """The gate for what nobody waits for, the slots for requests, an estimate for each registry host, and durations."""

    def __init__(self, slots: SlotSettings | None = None) -> None:
        self.gate = DemandGate()
        self.slots = RequestSlots(slots or SlotSettings())
        self.durations = Durations()
        self._links: defaultdict[str, LinkEstimate] = defaultdict(LinkEstimate)

    def __repr__(self) -> str:
        return f"<NodeTraffic {self.gate!r} {self.slots!r} {dict(self._links)}>"

    def link(self, host: str) -> LinkEstimate:
        """What is known of the way to a registry."""
        return self._links[host]
