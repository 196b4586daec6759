#!/bin/sh
# Boots this machine's root file system, copy-on-write, under its own systemd in new namespaces.
# Called by systemd_host.py in two stages, both as root:
#   outer WORK GROUP               in a new mount namespace: joins a control group of its own, unshares the rest
#   inner WORK [SOURCE:TARGET]...  builds the new root (each SOURCE bound read-only at TARGET) and becomes systemd
# All mounts live in the namespace and everything written is in a tmpfs: when the last process ends, all is gone.
set -eu

outer() {
    work=$1 group=$2
    shift 2
    mount -t tmpfs -o mode=755 tmpfs "$work"
    mkdir "$work/cgroup"
    mount -t cgroup2 cgroup2 "$work/cgroup"
    mkdir "$work/cgroup/$group"
    echo $$ >"$work/cgroup/$group/cgroup.procs"
    umount "$work/cgroup"
    # the group we are in becomes the root of the new control group namespace
    exec unshare --cgroup --pid --fork --kill-child --uts --ipc --net /bin/sh "$0" inner "$work" "$@"
}

inner() {
    work=$1
    shift
    root=$work/root
    mkdir "$work/upper" "$work/scratch" "$root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/scratch" "$root"
    for bind in "$@"; do
        mkdir -p "$root${bind#*:}"
        mount --bind "${bind%%:*}" "$root${bind#*:}"
        mount -o remount,bind,ro "$root${bind#*:}"
    done
    kernel_file_systems "$root"
    devices "$root"
    quiet_units "$root/etc/systemd/system"
    : >"$root/etc/fstab"
    ip link set lo up
    cd "$root"
    mkdir -p .old
    pivot_root . .old
    umount -l /.old
    # what systemd expects of its root: mounts reach the services' own mount namespaces
    mount --make-rshared /
    exec env -i container=amanat-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --system systemd.unit=basic.target
}

kernel_file_systems() {
    mount -t proc proc "$1/proc"
    # one kernel is shared with everything else: its settings stay as they are
    mount --bind "$1/proc/sys" "$1/proc/sys"
    mount -o remount,bind,ro "$1/proc/sys"
    mount -t sysfs -o ro sysfs "$1/sys"
    mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 tmpfs "$1/run"
}

devices() {
    mount -t tmpfs -o mode=755 tmpfs "$1/dev"
    for name in null zero full random urandom tty; do
        touch "$1/dev/$name"
        mount --bind "/dev/$name" "$1/dev/$name"
    done
    mkdir "$1/dev/pts" "$1/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"
    ln -s pts/ptmx "$1/dev/ptmx"
    mount -t tmpfs tmpfs "$1/dev/shm"
}

# Nothing that this machine has enabled starts, nor what would reach for hardware, network or the kernel.
quiet_units() {
    rm -rf "$1"/*.wants "$1"/*.requires
    for unit in systemd-sysctl systemd-modules-load systemd-udevd systemd-udev-trigger systemd-random-seed \
        systemd-networkd systemd-resolved systemd-timesyncd systemd-firstboot systemd-update-utmp; do
        ln -sf /dev/null "$1/$unit.service"
    done
    ln -sf /dev/null "$1/timers.target"
    ln -sf /dev/null "$1/modprobe@.service"
}

"$@"
