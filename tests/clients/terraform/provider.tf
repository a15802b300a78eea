variable "endpoint" {}

variable "image_owner" {
  description = "The account that has the image demo."
}

variable "name" {
  description = "Tells apart what stands side by side in one account."
}

variable "number" {
  description = "As name, for addresses: 2 or 3."
  type        = number
}

variable "changed" {
  description = "Whether everything is as it is to be after the change."
  default     = false
}

variable "skip_credentials_validation" {
  description = "Where it is true, the provider learns the account from IAM, or from STS where there is no IAM."
  default     = false
}

provider "aws" {
  region                      = "us-east-1"
  skip_metadata_api_check     = true
  skip_credentials_validation = var.skip_credentials_validation

  endpoints {
    ec2 = var.endpoint
    iam = var.endpoint
    sts = var.endpoint
  }
}
