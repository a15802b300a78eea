"""Hypervisors: libvirt (KVM, QEMU) and a fake one, behind drivers.Hypervisor."""
