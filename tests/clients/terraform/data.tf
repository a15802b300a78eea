# Everything that is read: of the cloud, and of what the other files make.

data "aws_caller_identity" "me" {}

data "aws_region" "here" {}

data "aws_regions" "all" {}

data "aws_availability_zones" "all" {
  state = "available"
}

data "aws_availability_zone" "first" {
  name = data.aws_availability_zones.all.names[0]
}

data "aws_ec2_instance_type_offerings" "small" {
  filter {
    name   = "instance-type"
    values = ["t2.*"]
  }
}

data "aws_ami" "demo" {
  most_recent = true
  owners      = [var.image_owner]

  filter {
    name   = "name"
    values = ["demo"]
  }
}

data "aws_vpc" "default" {
  default = true
}

data "aws_subnet" "default" {
  vpc_id            = data.aws_vpc.default.id
  availability_zone = data.aws_availability_zones.all.names[0]
  default_for_az    = true
}

data "aws_vpcs" "all" {}

data "aws_subnet_ids" "main" {
  vpc_id     = aws_vpc.main.id
  depends_on = [aws_subnet.front, aws_subnet.back]
}

data "aws_security_group" "web" {
  name   = aws_security_group.web.name
  vpc_id = aws_vpc.main.id
}

data "aws_security_groups" "main" {
  filter {
    name   = "vpc-id"
    values = [aws_vpc.main.id]
  }
}

data "aws_network_acls" "main" {
  vpc_id = aws_vpc.main.id
}

data "aws_internet_gateway" "main" {
  filter {
    name   = "attachment.vpc-id"
    values = [aws_internet_gateway.main.vpc_id]
  }
}

data "aws_route_table" "back" {
  route_table_id = aws_main_route_table_association.main.route_table_id
}

data "aws_route_tables" "main" {
  vpc_id = aws_vpc.main.id
}

data "aws_route" "back" {
  route_table_id         = aws_route.back.route_table_id
  destination_cidr_block = "0.0.0.0/0"
}

data "aws_vpc_dhcp_options" "main" {
  dhcp_options_id = aws_vpc_dhcp_options.main.id
}

data "aws_instance" "web" {
  instance_id = aws_instance.web.id
}

data "aws_instances" "web" {
  filter {
    name   = "instance-id"
    values = [aws_instance.web.id]
  }
}

data "aws_network_interface" "second" {
  id = aws_network_interface_attachment.second.network_interface_id
}

data "aws_network_interfaces" "web" {
  filter {
    name   = "attachment.instance-id"
    values = [aws_instance.web.id]
  }
}

data "aws_eip" "second" {
  id = aws_eip_association.second.allocation_id
}

data "aws_ebs_volume" "data" {
  filter {
    name   = "attachment.instance-id"
    values = [aws_volume_attachment.data.instance_id]
  }
  filter {
    name   = "volume-id"
    values = [aws_volume_attachment.data.volume_id]
  }
}

data "aws_ebs_snapshot" "data" {
  owners       = ["self"]
  snapshot_ids = [aws_ebs_snapshot.data.id]
}

data "aws_ebs_snapshot_ids" "data" {
  filter {
    name   = "volume-id"
    values = [aws_ebs_snapshot.data.volume_id]
  }
}

output "account" {
  value = data.aws_caller_identity.me.account_id
}

output "instances" {
  value = [aws_instance.web.id, aws_instance.db.id]
}
