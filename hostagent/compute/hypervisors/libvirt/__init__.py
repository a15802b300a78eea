"""QEMU and KVM through libvirt: the only place that imports it."""
