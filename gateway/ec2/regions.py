"""The region, its zones, and what an account is told about itself."""

from collections.abc import Sequence

from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.parameters import Filter, filters_of
from protos.cloud.v1 import regions_pb2

_NO_OPT_IN = "opt-in-not-required"


def describe_regions(
    call: Call,
    *,
    region_names: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    all_regions: bool = False,  # harmless: there is one, and it is shown
) -> View:
    request = regions_pb2.DescribeRegionsRequest(
        region_names=region_names, filters=filters_of(filters), endpoint=call.host
    )
    answer = call.clients.regions.Describe(request, caller=call.caller)
    return {
        "Regions": [
            {
                "RegionName": each.region_name,
                # As a Host header has it: boto cannot use a URL, and what puts https:// before it
                # (the AWS SDK for Java, VM::EC2) needs a port that is not 443.
                "Endpoint": call.host,
                "OptInStatus": each.opt_in_status or _NO_OPT_IN,
            }
            for each in answer.regions
        ]
    }


def describe_availability_zones(
    call: Call,
    *,
    zone_names: Sequence[str] = (),
    zone_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    all_availability_zones: bool = False,  # harmless: none needs opting in
) -> View:
    request = regions_pb2.DescribeAvailabilityZonesRequest(
        zone_names=zone_names, zone_ids=zone_ids, filters=filters_of(filters)
    )
    answer = call.clients.regions.DescribeAvailabilityZones(request, caller=call.caller)
    return {
        "AvailabilityZones": [
            {
                "State": each.state,
                "OptInStatus": _NO_OPT_IN,
                "Messages": [{"Message": message} for message in each.messages],
                "RegionName": each.region_name,
                "ZoneName": each.zone_name,
                "ZoneId": each.zone_id,
                "GroupName": each.region_name,
                "NetworkBorderGroup": each.region_name,
                "ZoneType": "availability-zone",
            }
            for each in answer.zones
        ]
    }


def describe_account_attributes(call: Call, *, attribute_names: Sequence[str] = ()) -> View:
    request = regions_pb2.DescribeAccountAttributesRequest(names=attribute_names)
    answer = call.clients.regions.DescribeAccountAttributes(request, caller=call.caller)
    return {
        "AccountAttributes": [
            {
                "AttributeName": each.name,
                "AttributeValues": [{"AttributeValue": value} for value in each.values],
            }
            for each in answer.attributes
        ]
    }
