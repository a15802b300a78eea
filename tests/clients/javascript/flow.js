// A user's round with the AWS SDK for JavaScript, version 3: waiters, paginators, errors.
//
//   node flow.js IMAGE_ID       prints what was read back, as one JSON object
//
// The endpoint, the region and the keys come from the environment. Everything made is taken away.

const ec2 = require("@aws-sdk/client-ec2");

const client = new ec2.EC2Client({ maxAttempts: 1 });
const patience = { client, maxWaitTime: 60, minDelay: 1, maxDelay: 1 };
const imageId = process.argv[2];
const seen = { waiters: {} };

function send(operation, input = {}) {
  return client.send(new ec2[`${operation}Command`](input));
}

async function until(waiter, input) {
  const { state } = await ec2[`waitUntil${waiter}`](patience, input);
  seen.waiters[waiter] = state;
}

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return { name: error.name, status: error.$metadata?.httpStatusCode ?? null };
  }
  throw new Error("nothing was refused");
}

async function pages(paginator, input, pick) {
  const sizes = [];
  for await (const page of ec2[`paginate${paginator}`]({ client, pageSize: 5 }, input)) {
    sizes.push(pick(page).length);
  }
  return sizes;
}

async function network() {
  const vpc = (await send("CreateVpc", { CidrBlock: "10.8.0.0/16" })).Vpc;
  await until("VpcExists", { VpcIds: [vpc.VpcId] });
  await until("VpcAvailable", { VpcIds: [vpc.VpcId] });
  const inside = { VpcId: vpc.VpcId, CidrBlock: "10.8.1.0/24" };
  const { SubnetId } = (await send("CreateSubnet", inside)).Subnet;
  await until("SubnetAvailable", { SubnetIds: [SubnetId] });
  const group = { VpcId: vpc.VpcId, GroupName: "javascript", Description: "d" };
  const { GroupId } = await send("CreateSecurityGroup", group);
  await until("SecurityGroupExists", { GroupIds: [GroupId] });
  const { InternetGatewayId } = (await send("CreateInternetGateway")).InternetGateway;
  const named = { InternetGatewayIds: [InternetGatewayId] };
  await until("InternetGatewayExists", named);
  const made = await send("CreateNetworkInterface", { SubnetId, Groups: [GroupId] });
  const { NetworkInterfaceId } = made.NetworkInterface;
  const interfaces = { NetworkInterfaceIds: [NetworkInterfaceId] };
  await until("NetworkInterfaceAvailable", interfaces);
  seen.inUse = await failure(send("DeleteSubnet", { SubnetId }));
  await send("DeleteNetworkInterface", { NetworkInterfaceId });
  await send("DeleteInternetGateway", { InternetGatewayId });
  await send("DeleteSecurityGroup", { GroupId });
  await send("DeleteSubnet", { SubnetId });
  await send("DeleteVpc", { VpcId: vpc.VpcId });
}

async function instance() {
  await send("CreateKeyPair", { KeyName: "javascript" });
  await until("KeyPairExists", { KeyNames: ["javascript"] });
  const launch = {
    ImageId: imageId,
    InstanceType: "t3.micro",
    KeyName: "javascript",
    MinCount: 1,
    MaxCount: 1,
    UserData: Buffer.from("hello").toString("base64"),
    TagSpecifications: [{ ResourceType: "instance", Tags: [{ Key: "Name", Value: "js" }] }],
  };
  const { InstanceId } = (await send("RunInstances", launch)).Instances[0];
  const it = { InstanceIds: [InstanceId] };
  for (const waiter of ["InstanceExists", "InstanceRunning", "SystemStatusOk", "InstanceStatusOk"]) {
    await until(waiter, it);
  }
  const shown = (await send("DescribeInstances", it)).Reservations[0].Instances[0];
  seen.tags = shown.Tags;
  seen.launched = shown.LaunchTime.toISOString();
  await disks(InstanceId);
  await send("StopInstances", it);
  await until("InstanceStopped", it);
  await send("StartInstances", it);
  await until("InstanceRunning", it);
  await send("TerminateInstances", it);
  await until("InstanceTerminated", it);
  seen.waited = await failure(until("InstanceRunning", it));
  seen.started = await failure(send("StartInstances", it));
  await send("DeleteKeyPair", { KeyName: "javascript" });
}

async function disks(InstanceId) {
  const zone = (await send("DescribeAvailabilityZones")).AvailabilityZones[0].ZoneName;
  const { VolumeId } = await send("CreateVolume", { AvailabilityZone: zone, Size: 1 });
  await until("VolumeAvailable", { VolumeIds: [VolumeId] });
  await send("AttachVolume", { VolumeId, InstanceId, Device: "/dev/sdf" });
  await until("VolumeInUse", { VolumeIds: [VolumeId] });
  const { SnapshotId } = await send("CreateSnapshot", { VolumeId });
  await until("SnapshotCompleted", { SnapshotIds: [SnapshotId] });
  const { ImageId } = await send("CreateImage", { InstanceId, Name: "of javascript", NoReboot: true });
  await until("ImageExists", { ImageIds: [ImageId] });
  await until("ImageAvailable", { ImageIds: [ImageId] });
  await send("DeregisterImage", { ImageId, DeleteAssociatedSnapshots: true });
  await send("DeleteSnapshot", { SnapshotId });
  await send("DetachVolume", { VolumeId });
  await until("VolumeAvailable", { VolumeIds: [VolumeId] });
  await send("DeleteVolume", { VolumeId });
  await until("VolumeDeleted", { VolumeIds: [VolumeId] });
}

async function main() {
  seen.absent = await failure(send("DescribeInstances", { InstanceIds: ["i-0123456789abcdef0"] }));
  seen.dry = await failure(send("DescribeVpcs", { DryRun: true }));
  seen.unsupported = await failure(send("CreateNatGateway", { SubnetId: "subnet-1" }));
  seen.noTags = (await send("DescribeVpcs")).Vpcs[0].Tags ?? null;
  seen.types = await pages("DescribeInstanceTypes", {}, (page) => page.InstanceTypes);
  seen.groups = await pages("DescribeSecurityGroups", {}, (page) => page.SecurityGroups);
  await network();
  await instance();
  console.log(JSON.stringify(seen));
}

main();
