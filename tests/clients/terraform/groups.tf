# One group with its rules in line, one with rules that are resources.

resource "aws_security_group" "web" {
  name        = "${var.name}-web"
  description = "rules in line"
  vpc_id      = aws_vpc.main.id
  tags        = { Name = "web" }

  ingress {
    description = var.changed ? "the web, changed" : "the web"
    from_port   = 80
    to_port     = 80
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }

  ingress {
    from_port   = 8080
    to_port     = 8090
    protocol    = "tcp"
    cidr_blocks = var.changed ? ["10.0.0.0/8"] : ["10.0.0.0/8", "192.168.0.0/16"]
    self        = true
  }

  ingress {
    from_port        = 443
    to_port          = 443
    protocol         = "tcp"
    ipv6_cidr_blocks = ["::/0"]
  }

  ingress {
    from_port   = 8
    to_port     = 0
    protocol    = "icmp"
    cidr_blocks = ["10.0.0.0/8"]
  }

  ingress {
    from_port       = 0
    to_port         = 0
    protocol        = "-1"
    security_groups = [aws_security_group.ruled.id]
  }

  ingress {
    from_port   = 0
    to_port     = 0
    protocol    = "50"
    cidr_blocks = ["10.0.0.0/8"]
  }

  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_security_group" "ruled" {
  name_prefix = "${var.name}-ruled"
  vpc_id      = aws_vpc.main.id
}

resource "aws_security_group_rule" "ssh" {
  security_group_id = aws_security_group.ruled.id
  type              = "ingress"
  description       = var.changed ? "ssh, changed" : "ssh"
  from_port         = 22
  to_port           = 22
  protocol          = "tcp"
  cidr_blocks       = ["10.0.0.0/8", "192.168.0.0/16"]
}

resource "aws_security_group_rule" "everything_of_ours" {
  security_group_id = aws_security_group.ruled.id
  type              = "ingress"
  from_port         = 0
  to_port           = 0
  protocol          = "-1"
  self              = true
}

resource "aws_security_group_rule" "esp" {
  security_group_id = aws_security_group.ruled.id
  type              = "ingress"
  from_port         = 0
  to_port           = 0
  protocol          = "50"
  cidr_blocks       = ["10.0.0.0/8"]
}

resource "aws_security_group_rule" "ping" {
  security_group_id = aws_security_group.ruled.id
  type              = "ingress"
  from_port         = -1
  to_port           = -1
  protocol          = "icmp"
  cidr_blocks       = ["0.0.0.0/0"]
}

resource "aws_security_group_rule" "database" {
  security_group_id        = aws_security_group.ruled.id
  type                     = "ingress"
  from_port                = 5432
  to_port                  = 5432
  protocol                 = "tcp"
  source_security_group_id = aws_security_group.other.id
}

resource "aws_security_group_rule" "out" {
  security_group_id = aws_security_group.ruled.id
  type              = "egress"
  from_port         = 53
  to_port           = 53
  protocol          = "udp"
  cidr_blocks       = ["0.0.0.0/0"]
}

resource "aws_security_group" "other" {
  name   = "${var.name}-other"
  vpc_id = aws_vpc.main.id
}

resource "aws_default_security_group" "main" {
  vpc_id = aws_vpc.main.id

  ingress {
    from_port = 0
    to_port   = 0
    protocol  = "-1"
    self      = true
  }
}
