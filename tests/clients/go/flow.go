// A user's round with the AWS SDK for Go, version 1 (Debian has it): waiters, pages, errors.
//
//	flow IMAGE_ID       prints what was read back, as one JSON object
//
// The endpoint, the region and the keys come from the environment. Everything made is taken away.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/ec2"
)

var (
	client *ec2.EC2
	often  = request.WithWaiterDelay(request.ConstantWaiterDelay(300 * time.Millisecond))
	seen   = map[string]interface{}{}
	waited = []string{}
)

func main() {
	config := aws.NewConfig().WithMaxRetries(0).WithEndpoint(os.Getenv("AWS_ENDPOINT_URL"))
	client = ec2.New(session.Must(session.NewSession(config)))
	refusals()
	pages()
	network()
	instance(os.Args[1])
	seen["waited"] = waited
	must(json.NewEncoder(os.Stdout).Encode(seen))
}

func must(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%+v\n", err)
		os.Exit(1)
	}
}

// done notes that a waiter has ended well.
func done(waiter string, err error) {
	must(err)
	waited = append(waited, waiter)
}

// refused notes the code and the HTTP status of an error.
func refused(name string, err error) {
	failure := err.(awserr.RequestFailure)
	seen[name] = []interface{}{failure.Code(), failure.StatusCode(), failure.RequestID() != ""}
}

func one(id *string) []*string { return []*string{id} }

func refusals() {
	absent := one(aws.String("i-0123456789abcdef0"))
	_, err := client.DescribeInstances(&ec2.DescribeInstancesInput{InstanceIds: absent})
	refused("absent", err)
	_, err = client.DescribeVpcs(&ec2.DescribeVpcsInput{DryRun: aws.Bool(true)})
	refused("dry", err)
	_, err = client.CreateNatGateway(&ec2.CreateNatGatewayInput{SubnetId: aws.String("subnet-1")})
	refused("unsupported", err)
}

func pages() {
	sizes := []int{}
	input := &ec2.DescribeInstanceTypesInput{MaxResults: aws.Int64(10)}
	must(client.DescribeInstanceTypesPages(input, func(page *ec2.DescribeInstanceTypesOutput, last bool) bool {
		sizes = append(sizes, len(page.InstanceTypes))
		return true
	}))
	seen["types"] = sizes
}

func network() {
	vpc, err := client.CreateVpc(&ec2.CreateVpcInput{CidrBlock: aws.String("10.8.0.0/16")})
	must(err)
	id := vpc.Vpc.VpcId
	vpcs := &ec2.DescribeVpcsInput{VpcIds: one(id)}
	done("VpcExists", client.WaitUntilVpcExistsWithContext(aws.BackgroundContext(), vpcs, often))
	done("VpcAvailable", client.WaitUntilVpcAvailableWithContext(aws.BackgroundContext(), vpcs, often))
	made, err := client.CreateSubnet(&ec2.CreateSubnetInput{VpcId: id, CidrBlock: aws.String("10.8.1.0/24")})
	must(err)
	subnet := made.Subnet.SubnetId
	subnets := &ec2.DescribeSubnetsInput{SubnetIds: one(subnet)}
	done("SubnetAvailable", client.WaitUntilSubnetAvailableWithContext(aws.BackgroundContext(), subnets, often))
	nic, err := client.CreateNetworkInterface(&ec2.CreateNetworkInterfaceInput{SubnetId: subnet})
	must(err)
	named := one(nic.NetworkInterface.NetworkInterfaceId)
	nics := &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: named}
	done("NetworkInterfaceAvailable",
		client.WaitUntilNetworkInterfaceAvailableWithContext(aws.BackgroundContext(), nics, often))
	_, err = client.DeleteVpc(&ec2.DeleteVpcInput{VpcId: id})
	refused("inUse", err)
	_, err = client.DeleteNetworkInterface(&ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: named[0]})
	must(err)
	_, err = client.DeleteSubnet(&ec2.DeleteSubnetInput{SubnetId: subnet})
	must(err)
	_, err = client.DeleteVpc(&ec2.DeleteVpcInput{VpcId: id})
	must(err)
}

func instance(image string) {
	ctx := aws.BackgroundContext()
	key := aws.String("go")
	_, err := client.CreateKeyPair(&ec2.CreateKeyPairInput{KeyName: key})
	must(err)
	keys := &ec2.DescribeKeyPairsInput{KeyNames: one(key)}
	done("KeyPairExists", client.WaitUntilKeyPairExistsWithContext(ctx, keys, often))
	launched, err := client.RunInstances(&ec2.RunInstancesInput{
		ImageId:      aws.String(image),
		InstanceType: aws.String("t3.micro"),
		KeyName:      key,
		MinCount:     aws.Int64(1),
		MaxCount:     aws.Int64(1),
		TagSpecifications: []*ec2.TagSpecification{{
			ResourceType: aws.String("instance"),
			Tags:         []*ec2.Tag{{Key: aws.String("Name"), Value: aws.String("go")}},
		}},
	})
	must(err)
	id := launched.Instances[0].InstanceId
	it := &ec2.DescribeInstancesInput{InstanceIds: one(id)}
	status := &ec2.DescribeInstanceStatusInput{InstanceIds: one(id)}
	done("InstanceExists", client.WaitUntilInstanceExistsWithContext(ctx, it, often))
	done("InstanceRunning", client.WaitUntilInstanceRunningWithContext(ctx, it, often))
	done("SystemStatusOk", client.WaitUntilSystemStatusOkWithContext(ctx, status, often))
	done("InstanceStatusOk", client.WaitUntilInstanceStatusOkWithContext(ctx, status, often))
	shown, err := client.DescribeInstances(it)
	must(err)
	instance := shown.Reservations[0].Instances[0]
	seen["tags"] = instance.Tags
	seen["launched"] = instance.LaunchTime
	disks(id)
	_, err = client.StopInstances(&ec2.StopInstancesInput{InstanceIds: one(id)})
	must(err)
	done("InstanceStopped", client.WaitUntilInstanceStoppedWithContext(ctx, it, often))
	_, err = client.StartInstances(&ec2.StartInstancesInput{InstanceIds: one(id)})
	must(err)
	must(client.WaitUntilInstanceRunningWithContext(ctx, it, often))
	_, err = client.TerminateInstances(&ec2.TerminateInstancesInput{InstanceIds: one(id)})
	must(err)
	done("InstanceTerminated", client.WaitUntilInstanceTerminatedWithContext(ctx, it, often))
	failure := client.WaitUntilInstanceRunningWithContext(ctx, it, often)
	seen["failure"] = failure.(awserr.Error).Code()
	_, err = client.DeleteKeyPair(&ec2.DeleteKeyPairInput{KeyName: key})
	must(err)
}

func disks(instance *string) {
	ctx := aws.BackgroundContext()
	zones, err := client.DescribeAvailabilityZones(&ec2.DescribeAvailabilityZonesInput{})
	must(err)
	volume, err := client.CreateVolume(&ec2.CreateVolumeInput{
		AvailabilityZone: zones.AvailabilityZones[0].ZoneName,
		Size:             aws.Int64(1),
	})
	must(err)
	volumes := &ec2.DescribeVolumesInput{VolumeIds: one(volume.VolumeId)}
	done("VolumeAvailable", client.WaitUntilVolumeAvailableWithContext(ctx, volumes, often))
	_, err = client.AttachVolume(&ec2.AttachVolumeInput{
		VolumeId: volume.VolumeId, InstanceId: instance, Device: aws.String("/dev/sdf")})
	must(err)
	done("VolumeInUse", client.WaitUntilVolumeInUseWithContext(ctx, volumes, often))
	snapshot, err := client.CreateSnapshot(&ec2.CreateSnapshotInput{VolumeId: volume.VolumeId})
	must(err)
	snapshots := &ec2.DescribeSnapshotsInput{SnapshotIds: one(snapshot.SnapshotId)}
	done("SnapshotCompleted", client.WaitUntilSnapshotCompletedWithContext(ctx, snapshots, often))
	image, err := client.CreateImage(&ec2.CreateImageInput{
		InstanceId: instance, Name: aws.String("of go"), NoReboot: aws.Bool(true)})
	must(err)
	images := &ec2.DescribeImagesInput{ImageIds: one(image.ImageId)}
	done("ImageExists", client.WaitUntilImageExistsWithContext(ctx, images, often))
	done("ImageAvailable", client.WaitUntilImageAvailableWithContext(ctx, images, often))
	made, err := client.DescribeImages(images)
	must(err)
	_, err = client.DeregisterImage(&ec2.DeregisterImageInput{ImageId: image.ImageId})
	must(err)
	for _, disk := range made.Images[0].BlockDeviceMappings {
		_, err = client.DeleteSnapshot(&ec2.DeleteSnapshotInput{SnapshotId: disk.Ebs.SnapshotId})
		must(err)
	}
	_, err = client.DeleteSnapshot(&ec2.DeleteSnapshotInput{SnapshotId: snapshot.SnapshotId})
	must(err)
	_, err = client.DetachVolume(&ec2.DetachVolumeInput{VolumeId: volume.VolumeId})
	must(err)
	must(client.WaitUntilVolumeAvailableWithContext(ctx, volumes, often))
	_, err = client.DeleteVolume(&ec2.DeleteVolumeInput{VolumeId: volume.VolumeId})
	must(err)
	done("VolumeDeleted", client.WaitUntilVolumeDeletedWithContext(ctx, volumes, often))
}
