resource "aws_key_pair" "main" {
  key_name   = var.name
  public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHz0JDnx3JUHDHkkBwiJPDHtcOOGg1CNF1MDyEDWmPYu someone@example.org"
  tags       = { Name = var.name }
}

# All that an instance may have within itself.
resource "aws_instance" "web" {
  ami                         = data.aws_ami.demo.id
  instance_type               = var.changed ? "t2.micro" : "t2.nano"
  key_name                    = aws_key_pair.main.key_name
  subnet_id                   = aws_subnet.front.id
  private_ip                  = "10.20.1.10"
  vpc_security_group_ids      = var.changed ? [aws_security_group.web.id, aws_security_group.other.id] : [aws_security_group.web.id]
  associate_public_ip_address = true
  source_dest_check           = !var.changed
  user_data                   = "#!/bin/sh\necho hello\n"
  tags                        = var.changed ? { Name = "web", Stage = "two" } : { Name = "web" }
  volume_tags                 = { Of = var.name }

  root_block_device {
    volume_type           = "gp2"
    volume_size           = 1
    delete_on_termination = true
  }

  ebs_block_device {
    device_name           = "/dev/sdf"
    volume_type           = "gp2"
    volume_size           = 1
    delete_on_termination = true
  }

  credit_specification {
    cpu_credits = var.changed ? "unlimited" : "standard"
  }

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = var.changed ? "required" : "optional"
  }
}

# An instance whose disk and second interface are resources of their own: the provider documents
# that these do not mix with ebs_block_device and volume_tags. In the default VPC, in which nothing
# need be waited for: the provider gives each new interface half a minute.
resource "aws_instance" "db" {
  ami                    = data.aws_ami.demo.id
  instance_type          = "t2.nano"
  subnet_id              = data.aws_subnet.default.id
  vpc_security_group_ids = [aws_security_group.db.id]
  monitoring             = var.changed
  tags                   = { Name = "db" }

  root_block_device {
    volume_size = var.changed ? 2 : 1
  }
}

resource "aws_security_group" "db" {
  name   = "${var.name}-db"
  vpc_id = data.aws_vpc.default.id
}

resource "aws_network_interface" "second" {
  subnet_id         = data.aws_subnet.default.id
  description       = var.changed ? "changed" : "the second"
  private_ips       = [for host in var.changed ? [100, 110] : [100] : cidrhost(data.aws_subnet.default.cidr_block, host + var.number)]
  security_groups   = [aws_security_group.db.id]
  source_dest_check = false
  tags              = { Name = "second" }
}

resource "aws_network_interface_attachment" "second" {
  instance_id          = aws_instance.db.id
  network_interface_id = aws_network_interface.second.id
  device_index         = 1
}

resource "aws_eip" "second" {
  vpc  = true
  tags = { Name = var.name }
}

resource "aws_eip_association" "second" {
  allocation_id        = aws_eip.second.id
  network_interface_id = aws_network_interface.second.id
}

# Other user data, another instance, to which the elastic address of the old one goes.
resource "aws_instance" "replaced" {
  ami           = data.aws_ami.demo.id
  instance_type = "t2.nano"
  user_data     = "#!/bin/sh\necho ${var.changed}\n"
}

resource "aws_eip" "replaced" {
  vpc      = true
  instance = aws_instance.replaced.id
}
