resource "aws_vpc" "main" {
  cidr_block           = "10.20.0.0/16"
  enable_dns_hostnames = true
  tags                 = var.changed ? { Name = var.name, Stage = "two" } : { Name = var.name }
}

resource "aws_subnet" "front" {
  vpc_id                  = aws_vpc.main.id
  cidr_block              = "10.20.1.0/24"
  availability_zone       = data.aws_availability_zones.all.names[0]
  map_public_ip_on_launch = true
  tags                    = var.changed ? {} : { Name = "front" }
}

resource "aws_subnet" "back" {
  vpc_id                  = aws_vpc.main.id
  cidr_block              = "10.20.2.0/24"
  map_public_ip_on_launch = var.changed
}

resource "aws_internet_gateway" "main" {
  vpc_id = aws_vpc.main.id
  tags   = var.changed ? {} : { Name = var.name }
}

resource "aws_route_table" "front" {
  vpc_id = aws_vpc.main.id

  route {
    cidr_block = var.changed ? "10.98.0.0/16" : "0.0.0.0/0"
    gateway_id = aws_internet_gateway.main.id
  }
}

resource "aws_route_table" "back" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = "back" }
}

resource "aws_route" "back" {
  route_table_id         = aws_route_table.back.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.main.id
}

resource "aws_route" "through" {
  route_table_id         = aws_route_table.back.id
  destination_cidr_block = "10.99.0.0/16"
  network_interface_id   = aws_instance.web.primary_network_interface_id
}

resource "aws_route_table_association" "front" {
  subnet_id      = aws_subnet.front.id
  route_table_id = var.changed ? aws_route_table.back.id : aws_route_table.front.id
}

resource "aws_main_route_table_association" "main" {
  vpc_id         = aws_vpc.main.id
  route_table_id = aws_route_table.back.id
}

resource "aws_vpc_dhcp_options" "main" {
  domain_name         = "example.internal"
  domain_name_servers = ["AmazonProvidedDNS"]
  ntp_servers         = ["169.254.169.123"]
  tags                = { Name = var.name }
}

resource "aws_vpc_dhcp_options_association" "main" {
  vpc_id          = aws_vpc.main.id
  dhcp_options_id = aws_vpc_dhcp_options.main.id
}

resource "aws_ec2_tag" "acl" {
  resource_id = aws_vpc.main.default_network_acl_id
  key         = "Stage"
  value       = var.changed ? "two" : "one"
}
