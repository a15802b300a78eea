# A user's round with fog-aws: its models and collections, as code of Ruby shops uses them.
#
#   ruby flow.rb IMAGE_ID       prints what was read back, as one JSON object
#
# The endpoint, the region and the keys come from the environment. Everything made is taken away.

require "fog/aws"
require "json"

CLOUD = Fog::Compute.new(
  provider: "AWS",
  aws_access_key_id: ENV.fetch("AWS_ACCESS_KEY_ID"),
  aws_secret_access_key: ENV.fetch("AWS_SECRET_ACCESS_KEY"),
  region: ENV.fetch("AWS_REGION"),
  endpoint: ENV.fetch("AWS_ENDPOINT_URL") + "/"
)
Fog.interval = 0.3
SEEN = {}

def refusal
  yield
  raise "nothing was refused"
rescue Fog::AWS::Compute::Error, Fog::AWS::Compute::NotFound => e
  "#{e.class}: #{e.message}"
end

def keys_and_groups
  SEEN[:absent_key] = CLOUD.key_pairs.get("nobody").nil?
  key = CLOUD.key_pairs.create(name: "fog")
  SEEN[:key] = CLOUD.key_pairs.get("fog").fingerprint == key.fingerprint
  group = CLOUD.security_groups.create(name: "fog", description: "of fog")
  group.authorize_port_range(22..22)
  group.authorize_port_range(80..81, cidr_ip: "10.0.0.0/8")
  group.reload
  group.authorize_port_range(90..90, group: { group.owner_id => group.group_id })
  SEEN[:rules] = group.reload.ip_permissions.map { |rule| rule.values_at("ipProtocol", "fromPort", "toPort") }
  group.revoke_port_range(22..22)
  SEEN[:left] = CLOUD.security_groups.get("fog").ip_permissions.size
  [key, group]
end

def server(image, key)
  made = CLOUD.servers.create(
    image_id: image, key_name: key.name, groups: ["fog"],
    tags: { "Name" => "fog", "empty" => "" }, user_data: "hello"
  )
  made.wait_for { ready? }
  SEEN[:server] = made.reload.attributes.slice(:flavor_id, :key_name, :tags, :groups, :state)
  SEEN[:console] = made.console_output.body["instanceId"] == made.id
  made
end

def disks(server)
  volume = CLOUD.volumes.create(
    availability_zone: server.availability_zone, size: 1, type: "gp3", iops: 3000, tags: { "a" => "b" }
  )
  volume.attach(server, "/dev/sdf")
  volume.wait_for { state == "in-use" }
  SEEN[:volume] = volume.reload.attributes.slice(:device, :size, :type, :tags)
  SEEN[:volumes] = server.volumes.all.size
  volume.snapshot("of fog")
  (snapshot,) = volume.snapshots.all.to_a
  snapshot.wait_for { ready? }
  SEEN[:snapshot] = snapshot.attributes.slice(:description, :volume_size, :progress)
  volume.force_detach
  volume.wait_for { ready? }
  volume.size = 2
  volume.save
  volume.wait_for { !modification_in_progress? }
  SEEN[:grown] = volume.reload.size
  image = CLOUD.images.get(CLOUD.create_image(server.id, "of fog", "d", true).body["imageId"])
  image.wait_for { ready? }
  SEEN[:image] = image.attributes.slice(:name, :description, :is_public)
  image.reload.deregister(true)
  snapshot.destroy
  volume.destroy
  SEEN[:snapshots] = CLOUD.snapshots.all.size
end

def addresses(server)
  address = CLOUD.addresses.create(domain: "vpc")
  address.server = server
  SEEN[:address] = server.addresses.all.map(&:public_ip) == [address.public_ip]
  SEEN[:association] = address.reload.association_id[0, 9]
  address.server = nil
  address.destroy
  SEEN[:addresses] = CLOUD.addresses.all.size
end

def power(server)
  server.stop
  server.wait_for { state == "stopped" }
  CLOUD.modify_instance_attribute(server.id, "InstanceType.Value" => "t3.nano")
  server.start
  server.reboot
  server.wait_for { ready? }
  SEEN[:resized] = server.reload.flavor_id
end

def network(image)
  vpc = CLOUD.vpcs.create(cidr_block: "10.6.0.0/16", tags: { "Name" => "fog" })
  vpc.wait_for { ready? }
  SEEN[:vpc] = vpc.attributes.slice(:cidr_block, :tags, :tenancy, :is_default)
  CLOUD.modify_vpc_attribute(vpc.id, "EnableDnsHostnames.Value" => true)
  SEEN[:dns] = CLOUD.describe_vpc_attribute(vpc.id, "enableDnsHostnames").body["enableDnsHostnames"]
  subnet = CLOUD.subnets.create(vpc_id: vpc.id, cidr_block: "10.6.1.0/24")
  gateway = CLOUD.internet_gateways.create
  gateway.attach(vpc.id)
  table = CLOUD.route_tables.create(vpc_id: vpc.id)
  CLOUD.create_route(table.id, "0.0.0.0/0", gateway.id)
  joined = CLOUD.associate_route_table(table.id, subnet.subnet_id).body["associationId"]
  SEEN[:routes] = table.reload.routes.map { |route| route["destinationCidrBlock"] }
  options = CLOUD.dhcp_options.create(dhcp_configuration_set: { "domain-name" => "a.example" })
  options.associate(vpc.id)
  inside = CLOUD.servers.create(image_id: image, flavor_id: "t3.nano", subnet_id: subnet.subnet_id, associate_public_ip: true)
  inside.wait_for { ready? }
  SEEN[:inside] = inside.reload.public_ip_address.nil?
  nic = CLOUD.network_interfaces.create(subnet_id: subnet.subnet_id, description: "d")
  attachment = CLOUD.attach_network_interface(nic.network_interface_id, inside.id, 1).body["attachmentId"]
  SEEN[:nic] = nic.reload.attachment["attachmentId"] == attachment
  CLOUD.detach_network_interface(attachment, true)
  gone(inside)
  nic.destroy
  CLOUD.disassociate_route_table(joined)
  table.destroy
  gateway.detach(vpc.id)
  gateway.destroy
  CLOUD.associate_dhcp_options("default", vpc.id)
  [options, subnet, vpc].each(&:destroy)
end

def gone(server)
  server.destroy
  server.wait_for { state == "terminated" }
end

SEEN[:zones] = CLOUD.describe_availability_zones.body["availabilityZoneInfo"].map { |zone| zone["zoneName"] }
SEEN[:absent] = refusal { CLOUD.start_instances("i-0123456789abcdef0") }
key, group = keys_and_groups
one = server(ARGV[0], key)
SEEN[:in_use] = refusal { group.destroy }
disks(one)
addresses(one)
power(one)
network(ARGV[0])
gone(one)
[key, group].each(&:destroy)
puts JSON.generate(SEEN)
