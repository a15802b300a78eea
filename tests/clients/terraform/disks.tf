resource "aws_ebs_volume" "data" {
  availability_zone = data.aws_availability_zones.all.names[0]
  size              = var.changed ? 2 : 1
  type              = "gp2"
  tags              = { Name = "data" }
}

resource "aws_volume_attachment" "data" {
  device_name = "/dev/sdh"
  volume_id   = aws_ebs_volume.data.id
  instance_id = aws_instance.db.id
}

resource "aws_ebs_snapshot" "data" {
  volume_id   = aws_ebs_volume.data.id
  description = "of data"
  tags        = { Name = "data" }
}

resource "aws_ebs_volume" "again" {
  availability_zone = data.aws_availability_zones.all.names[0]
  snapshot_id       = aws_ebs_snapshot.data.id
}

resource "aws_ami_from_instance" "web" {
  name                    = "${var.name}-copy"
  source_instance_id      = aws_instance.web.id
  snapshot_without_reboot = true
  tags                    = { Name = "copy" }
}

resource "aws_ami" "data" {
  name                = "${var.name}-registered"
  virtualization_type = "hvm"
  root_device_name    = "/dev/xvda"

  ebs_block_device {
    device_name = "/dev/xvda"
    snapshot_id = aws_ebs_snapshot.data.id
    volume_size = 2
  }
}

resource "aws_ami_launch_permission" "data" {
  image_id   = aws_ami.data.id
  account_id = "123456789012"
}

resource "aws_snapshot_create_volume_permission" "data" {
  snapshot_id = aws_ebs_snapshot.data.id
  account_id  = "123456789012"
}
