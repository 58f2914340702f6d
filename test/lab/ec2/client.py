"""A client that is not ours: boto3 takes one ENI through its life, as any program would.

usage: client.py ENDPOINT SUBNET INSTANCE

Prints one JSON object a step; what boto3 cannot parse or wait for ends it with a traceback.
"""
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, subnet, instance = sys.argv[1:]
ec2 = boto3.client(
    "ec2",
    endpoint_url=endpoint,
    region_name="us-east-1",
    aws_access_key_id="AKIDEXAMPLE",
    aws_secret_access_key="secret",
    config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10),
)


def say(step, **fields):
    print(json.dumps({"step": step, **fields}, default=str), flush=True)


def refused(call, **parameters):
    try:
        call(**parameters)
    except ClientError as error:
        return [error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]]
    return None


def enis(**parameters):
    pages = ec2.get_paginator("describe_network_interfaces").paginate(**parameters)
    return [eni for page in pages for eni in page["NetworkInterfaces"]]


say("list", enis=[eni["NetworkInterfaceId"] for eni in enis(PaginationConfig={"PageSize": 5})])

eni = ec2.create_network_interface(
    SubnetId=subnet,
    Description="not ours",
    SecondaryPrivateIpAddressCount=2,
    TagSpecifications=[
        {"ResourceType": "network-interface", "Tags": [{"Key": "by", "Value": "boto3 & <friends>"}]}
    ],
)["NetworkInterface"]
name = eni["NetworkInterfaceId"]
say("create", eni=name, status=eni["Status"], addresses=[a["PrivateIpAddress"] for a in eni["PrivateIpAddresses"]])
ec2.get_waiter("network_interface_available").wait(
    NetworkInterfaceIds=[name], WaiterConfig={"Delay": 0, "MaxAttempts": 50}
)

attachment = ec2.attach_network_interface(NetworkInterfaceId=name, InstanceId=instance, DeviceIndex=1)["AttachmentId"]
found = enis(Filters=[{"Name": "attachment.attachment-id", "Values": [attachment]}, {"Name": "tag:by", "Values": ["boto3*"]}])
say(
    "attach",
    eni=found[0]["NetworkInterfaceId"],
    status=found[0]["Attachment"]["Status"],
    when=found[0]["Attachment"]["AttachTime"].isoformat(),
    tags=found[0]["TagSet"],
    inUse=refused(ec2.delete_network_interface, NetworkInterfaceId=name),
)

given = ec2.assign_private_ip_addresses(NetworkInterfaceId=name, SecondaryPrivateIpAddressCount=3)
addresses = [each["PrivateIpAddress"] for each in given["AssignedPrivateIpAddresses"]]
prefixes = ec2.assign_private_ip_addresses(NetworkInterfaceId=name, Ipv4PrefixCount=1)["AssignedIpv4Prefixes"]
say(
    "assign",
    addresses=addresses,
    prefixes=[each["Ipv4Prefix"] for each in prefixes],
    tooMany=refused(ec2.assign_private_ip_addresses, NetworkInterfaceId=name, SecondaryPrivateIpAddressCount=10),
    dryRun=refused(ec2.create_network_interface, SubnetId=subnet, DryRun=True),
)

ec2.unassign_private_ip_addresses(NetworkInterfaceId=name, PrivateIpAddresses=addresses)
say("unassign", left=len(enis(NetworkInterfaceIds=[name])[0]["PrivateIpAddresses"]))

ec2.detach_network_interface(AttachmentId=attachment)
ec2.get_waiter("network_interface_available").wait(
    NetworkInterfaceIds=[name], WaiterConfig={"Delay": 0, "MaxAttempts": 50}
)
say("detach", attached=[e["NetworkInterfaceId"] for e in enis(Filters=[{"Name": "attachment.instance-id", "Values": [instance]}])])

ec2.delete_network_interface(NetworkInterfaceId=name)
say("delete", again=refused(ec2.describe_network_interfaces, NetworkInterfaceIds=[name]))
