# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The network that the role `cluster` plans: subnets, NAT gateways, routes, and what an older network lacks."""

from __future__ import annotations

import ipaddress
import itertools
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation import network
from hypothesis import given
from hypothesis import strategies as st

Mapping = dict[str, t.Any]
ZONES = ["eu-west-1a", "eu-west-1b"]
NETWORK = "10.42.0.0/16"
INTERNET_GATEWAY = "igw-1"


def subnet(zone: str, kind: str = "public", number: int = 0, **changes: t.Any) -> Mapping:
    """A subnet as it was made here."""
    tags = {"public": {"kubernetes.io/role/elb": "1"}, "private": {"kubernetes.io/role/internal-elb": "1"}}[kind]
    return {
        "subnet_id": f"subnet-{kind}-{zone}",
        "availability_zone": zone,
        "cidr_block": f"10.42.{16 * number}.0/20",
        "map_public_ip_on_launch": kind == "public",
        "tags": tags | ({"podidentity.eks/subnet": "private"} if kind == "private" else {}),
    } | changes


def table(target: str, *subnets: Mapping, state: str = "active") -> Mapping:
    """A route table whose way out is an internet or NAT gateway."""
    key = "nat_gateway_id" if target.startswith("nat-") else "gateway_id"
    route = {"destination_cidr_block": "0.0.0.0/0", key: target, "state": state}
    return {"routes": [route], "associations": [{"subnet_id": each["subnet_id"]} for each in subnets]}


def gateway(zone: str, state: str = "available") -> Mapping:
    return {"nat_gateway_id": f"nat-{zone}", "subnet_id": f"subnet-public-{zone}", "state": state}


def observed(**parts: list[Mapping]) -> Mapping:
    return {"subnets": [], "route_tables": [], "nat_gateways": [], "addresses": [], **parts}


def old_network() -> Mapping:
    """What version 0.1.0 made."""
    subnets = [subnet(zone, number=number) for number, zone in enumerate(ZONES)]
    return observed(subnets=subnets, route_tables=[table(INTERNET_GATEWAY, *subnets)])


def complete_network(nat: str) -> Mapping:
    """A network that lacks nothing."""
    public = [subnet(zone, number=number) for number, zone in enumerate(ZONES)]
    private = [subnet(zone, "private", 2 + number) for number, zone in enumerate(ZONES)]
    zones = ZONES[:1] if nat == "single" else ZONES
    tables = [
        table(f"nat-{zones[0] if nat == 'single' else zone}", private[number]) for number, zone in enumerate(ZONES)
    ]
    gateways = [gateway(zone) for zone in zones]
    return observed(
        subnets=[*public, *private], route_tables=[table(INTERNET_GATEWAY, *public), *tables], nat_gateways=gateways
    )


def plan(nat: str, found: Mapping, zones: list[str] = ZONES, cidr: str = NETWORK) -> Mapping:
    return network.plan(zones, cidr, nat=nat, observed=found)


def places(planned: Mapping) -> list[tuple[str, str, str]]:
    return [(each["zone"], each["kind"], each["cidr"]) for each in planned["subnets"]]


def test_empty_network_plans_public_and_private_subnet_per_zone() -> None:
    planned = plan("single", observed())
    assert places(planned) == [
        ("eu-west-1a", "public", "10.42.0.0/20"),
        ("eu-west-1b", "public", "10.42.16.0/20"),
        ("eu-west-1a", "private", "10.42.32.0/20"),
        ("eu-west-1b", "private", "10.42.48.0/20"),
    ]
    assert len(planned["missing"]) == 5
    assert planned["missing"][-1] == "NAT gateway in eu-west-1a"


def test_subnets_carry_load_balancer_tags() -> None:
    tags = {each["kind"]: each["tags"] for each in plan("single", observed())["subnets"]}
    assert tags["public"] == {"kubernetes.io/role/elb": "1"}
    assert tags["private"] == {"kubernetes.io/role/internal-elb": "1", "podidentity.eks/subnet": "private"}


@pytest.mark.parametrize(
    ("nat", "zones", "ways_out"),
    [("single", ZONES[:1], ZONES[:1] * 2), ("per_zone", ZONES, ZONES), ("none", [], [])],
)
def test_nat_gateways_match_declared_mode(nat: str, zones: list[str], ways_out: list[str]) -> None:
    planned = plan(nat, observed())
    assert [each["zone"] for each in planned["nat_gateways"]] == zones
    private = [each for each in planned["route_tables"] if each["kind"] == "private"]
    assert [each["nat_zone"] for each in private] == ways_out
    assert [each["zones"] for each in private] == [[zone] for zone in ZONES[: len(ways_out)]]
    assert {each["kind"] for each in planned["subnets"]} == ({"public"} if nat == "none" else {"public", "private"})


@pytest.mark.parametrize("nat", ["single", "per_zone"])
def test_complete_network_lacks_nothing(nat: str) -> None:
    planned = plan(nat, complete_network(nat))
    assert (planned["missing"], planned["surplus"]) == ([], [])
    assert all("subnet_id" in each and not each["changed"] for each in planned["subnets"])


def test_public_network_stays_public_without_nat() -> None:
    assert plan("none", old_network())["missing"] == []


def test_public_network_keeps_subnets_and_gains_private_ones() -> None:
    planned = plan("single", old_network())
    assert planned["missing"] == [
        "private subnet 10.42.32.0/20 in eu-west-1a",
        "private subnet 10.42.48.0/20 in eu-west-1b",
        "NAT gateway in eu-west-1a",
    ]
    assert [each["kind"] for each in planned["subnets"] if each["changed"]] == ["private", "private"]


def test_removing_nat_under_private_subnets_is_refused() -> None:
    with pytest.raises(AnsibleEKSError, match="private subnets subnet-private-eu-west-1a, subnet-private-eu-west-1b"):
        plan("none", complete_network("single"))


def test_new_zone_gets_next_free_blocks_and_others_stay() -> None:
    planned = plan("single", complete_network("single"), ["eu-west-1c", *ZONES])
    assert dict(((zone, kind), cidr) for zone, kind, cidr in places(planned))["eu-west-1c", "public"] == "10.42.64.0/20"
    assert planned["missing"] == [
        "public subnet 10.42.64.0/20 in eu-west-1c",
        "private subnet 10.42.80.0/20 in eu-west-1c",
    ]
    assert planned["nat_gateways"] == [{"zone": "eu-west-1a", "nat_gateway_id": "nat-eu-west-1a"}]


def test_per_zone_nat_routes_each_zone_through_its_gateway() -> None:
    planned = plan("per_zone", complete_network("single"))
    assert planned["missing"] == [
        "NAT gateway in eu-west-1b",
        "route by NAT gateway for subnet subnet-private-eu-west-1b in eu-west-1b",
    ]
    assert planned["surplus"] == []


def test_unused_nat_gateway_is_surplus() -> None:
    planned = plan("single", complete_network("per_zone"))
    assert planned["surplus"] == ["nat-eu-west-1b"]
    assert planned["missing"][-1] == "removal of NAT gateway nat-eu-west-1b, which no subnet needs"


def test_undeclared_zone_keeps_its_nat_gateway() -> None:
    assert plan("per_zone", complete_network("per_zone"), ["eu-west-1a"])["surplus"] == []


def test_unused_elastic_ip_is_reused() -> None:
    addresses = [{"allocation_id": "eipalloc-1", "association_id": "eipassoc-1"}, {"allocation_id": "eipalloc-2"}]
    planned = plan("per_zone", observed(addresses=addresses))
    assert [each.get("allocation_id") for each in planned["nat_gateways"]] == ["eipalloc-2", None]


@pytest.mark.parametrize("state", ["failed", "deleting", "deleted"])
def test_failed_or_deleted_nat_gateway_is_recreated(state: str) -> None:
    found = complete_network("single")
    found["nat_gateways"] = [gateway("eu-west-1a", state)]
    assert "NAT gateway in eu-west-1a" in plan("single", found)["missing"]


@pytest.mark.parametrize(
    ("change", "tables", "missing"),
    [
        ({}, [], "route to the internet"),
        ({}, [table(INTERNET_GATEWAY, subnet("eu-west-1a"), state="blackhole")], "route to the internet"),
        ({}, [table("nat-1", subnet("eu-west-1a"))], "route to the internet"),
        ({"map_public_ip_on_launch": False}, [table(INTERNET_GATEWAY, subnet("eu-west-1a"))], "public addresses"),
        ({"tags": {}}, [table(INTERNET_GATEWAY, subnet("eu-west-1a"))], "tag kubernetes.io/role/elb"),
    ],
)
def test_missing_part_of_public_subnet_is_named(change: Mapping, tables: list[Mapping], missing: str) -> None:
    found = observed(subnets=[subnet("eu-west-1a", **change)], route_tables=tables)
    (text,) = plan("none", found, ["eu-west-1a"])["missing"]
    assert text.startswith(missing) and "subnet-public-eu-west-1a" in text


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"map_public_ip_on_launch": True}, "no public addresses in private subnet"),
        ({"tags": {"podidentity.eks/subnet": "private"}}, "tag kubernetes.io/role/internal-elb"),
    ],
)
def test_missing_part_of_private_subnet_is_named(change: Mapping, missing: str) -> None:
    found = complete_network("single")
    found["subnets"][2].update(change)
    (text,) = plan("single", found)["missing"]
    assert text.startswith(missing) and "subnet-private-eu-west-1a" in text


def test_blackhole_route_of_private_subnet_is_named() -> None:
    found = complete_network("single")
    for number in (1, 2):
        found["route_tables"][number] = table("nat-eu-west-1a", found["subnets"][1 + number], state="blackhole")
    assert [text.split(" for ")[0] for text in plan("single", found)["missing"]] == ["route by NAT gateway"] * 2


@pytest.mark.parametrize("cidr", ["10.42.0.0/8", "10.42.0.1/16", "10.42.0.0/25", "x"])
def test_invalid_network_cidr_is_refused(cidr: str) -> None:
    with pytest.raises(AnsibleEKSError, match="network"):
        plan("single", observed(), cidr=cidr)


def test_network_without_room_for_zone_is_refused() -> None:
    with pytest.raises(AnsibleEKSError, match="no room for a private subnet"):
        plan("single", observed(), [f"eu-west-1{letter}" for letter in "abcdefghi"])


@given(
    zones=st.lists(st.sampled_from([f"eu-west-1{letter}" for letter in "abcdefgh"]), min_size=1),
    nat=st.sampled_from(["single", "per_zone", "none"]),
    old=st.booleans(),
)
def test_subnets_never_overlap_and_never_move(zones: list[str], nat: str, old: bool) -> None:
    found = old_network() if old else observed()
    planned = plan(nat, found, zones)
    blocks = [ipaddress.IPv4Network(each["cidr"]) for each in planned["subnets"]]
    existing = {each["subnet_id"]: each["cidr_block"] for each in found["subnets"]}
    taken = [ipaddress.IPv4Network(cidr) for cidr in existing.values()]
    new = [block for block in blocks if block not in taken]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(blocks, 2))
    assert not any(one.overlaps(other) for one in new for other in taken)
    kept = {each["subnet_id"]: each["cidr"] for each in planned["subnets"] if "subnet_id" in each}
    assert kept == {subnet_id: existing[subnet_id] for subnet_id in kept}
