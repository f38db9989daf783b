from fs.node_traffic import NodeTraffic


def test_all_layers_from_one_registry_share_what_is_known_of_it() -> None:
    node = NodeTraffic()
    node.link("a").saw_first_byte(0.5)
    assert node.link("a").round_trip_seconds == 0.5
    assert node.link("b").round_trip_seconds == 0
