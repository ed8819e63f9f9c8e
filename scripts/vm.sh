#!/usr/bin/env bash
# Boots Debian in a virtual machine, with its own kernel and systemd, and runs one command there when it is up:
#   scripts/vm.sh [OPTION]... COMMAND
#     --suite NAME       bookworm (Linux 6.1, the default), trixie (6.12) or bullseye (5.10)
#     --kernel NAME      boot the kernel of another suite under the suite's user space
#     --overlay DIR      lay DIR's content over the machine's root (repeatable)
#     --prepare COMMAND  first run COMMAND as root in the machine's tree, natively: emulation is twenty times slower
#     --seconds N        give up after N seconds of machine time (default 600)
# Prints what the command prints and ends with its status; 125 where no machine could be made or it did not finish.
# Needs root, debootstrap, qemu-system-x86 and e2fsprogs, no KVM. Trees are kept in ${LINNIX_VM_CACHE:-/var/tmp/linnix-machines}.
set -euo pipefail

suite=bookworm kernel= seconds=600 overlays=() preparations=()
while [ $# -gt 1 ]; do
  case $1 in
    --suite) suite=$2 ;;
    --kernel) kernel=$2 ;;
    --overlay) overlays+=("$2") ;;
    --prepare) preparations+=("$2") ;;
    --seconds) seconds=$2 ;;
    *) break ;;
  esac
  shift 2
done
[ $# -eq 1 ] || { sed -n '2,10s/^# //p' "$0" >&2; exit 2; }
command=$1

fail() {
  printf 'vm.sh: %s\n' "$@" >&2
  exit 125
}
PATH=$PATH:/usr/sbin:/sbin
[ "$(id -u)" -eq 0 ] || fail "needs root: debootstrap makes device files"
for tool in debootstrap qemu-system-x86_64 mke2fs; do
  command -v "$tool" >/dev/null || fail "needs $tool: apt-get install debootstrap qemu-system-x86 e2fsprogs"
done
cache=${LINNIX_VM_CACHE:-/var/tmp/linnix-machines}
kernel=${kernel:-$suite}
mkdir -p "$cache"

# The mirror this Debian uses itself; elsewhere debootstrap's own default.
own_mirror() {
  grep -qs '^ID=debian' /etc/os-release || return 0
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sed -n '/^http.*\/debian\/*$/{p;q}'
}

# A tree of the suite $1 in $cache/$1, made once; one that was made from another list of packages is made again.
need_tree() {
  local tree=$cache/$1 packages=systemd,systemd-sysv,udev,dbus,kmod,iproute2,procps,initramfs-tools
  packages+=,linux-image-cloud-amd64,python3,python3-venv,libgomp1
  case $1 in bullseye) packages+=,libbpf0 ;; *) packages+=,libbpf1 ;; esac
  exec 9>"$cache/$1.lock"
  flock 9
  if [ "$(cat "$tree/.complete" 2>/dev/null)" != "$packages" ]; then
    rm -rf "$tree"
    echo "vm.sh: making a $1 tree in $tree, once (a minute or two)" >&2
    # shellcheck disable=SC2046 # an empty mirror is no argument
    debootstrap --variant=minbase --include="$packages" "$1" "$tree" $(own_mirror) >"$cache/$1.log" 2>&1 ||
      fail "debootstrap failed; the end of $cache/$1.log:" "$(tail -n 3 "$cache/$1.log")"
    rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/*
    echo '/dev/vda / ext4 rw,noatime 0 1' >"$tree/etc/fstab"
    echo linnix-vm >"$tree/etc/hostname"
    echo "$packages" >"$tree/.complete"
  fi
  exec 9>&-
}
need_tree "$suite"
[ "$kernel" = "$suite" ] || need_tree "$kernel"

work=$(mktemp -d "$cache/run.XXXXXX")
machine=
clear_up() {
  [ -z "$machine" ] || kill "$machine" 2>/dev/null || true
  # A preparation that was interrupted leaves /proc mounted in the tree: never delete through a mount.
  umount -q "$work/root/proc" 2>/dev/null || true
  mountpoint -q "$work/root/proc" || rm -rf "$work"
}
trap clear_up EXIT
trap 'exit 125' INT TERM
cp -a --reflink=auto "$cache/$suite" "$work/root"
if [ "$kernel" != "$suite" ]; then
  rm -rf "$work"/root/boot/vmlinuz-* "$work"/root/boot/initrd.img-* "$work"/root/lib/modules/*
  cp -a "$cache/$kernel"/boot/vmlinuz-* "$cache/$kernel"/boot/initrd.img-* "$work/root/boot/"
  cp -a "$cache/$kernel"/lib/modules/. "$work/root/lib/modules/"
fi
for overlay in "${overlays[@]}"; do cp -a "$overlay/." "$work/root/"; done
for preparation in "${preparations[@]}"; do
  mount -t proc proc "$work/root/proc"
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 chroot "$work/root" /bin/bash -euc "$preparation" >&2 ||
    fail "a preparation failed: $preparation"
  umount "$work/root/proc"
done

# What the machine does once it is up. The command's output leaves by the second serial port, its status in the last line.
printf '%s\n' "$command" >"$work/root/root/command"
cat >"$work/root/root/at-boot" <<'END'
#!/bin/bash
exec >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw -echo
bash /root/command
echo "vm-status $?"
sleep 0.2 # the last bytes leave the emulated port
systemctl --force --force poweroff >/dev/null 2>&1
END
chmod +x "$work/root/root/at-boot"
cat >"$work/root/etc/systemd/system/at-boot.service" <<'END'
[Unit]
After=multi-user.target
[Service]
ExecStart=/root/at-boot
[Install]
WantedBy=multi-user.target
END
# qemu emulates AVX2 wrongly somewhere: numpy's sorting (2.4, its X86_V3 path) gives wrong orders in here, and only here.
mkdir -p "$work/root/etc/systemd/system.conf.d"
printf '[Manager]\nDefaultEnvironment="NPY_DISABLE_CPU_FEATURES=X86_V3 AVX2 FMA3"\n' >"$work/root/etc/systemd/system.conf.d/numpy.conf"
mkdir -p "$work/root/etc/systemd/system/multi-user.target.wants"
ln -sf ../at-boot.service "$work/root/etc/systemd/system/multi-user.target.wants/"

megabytes=$(($(du -sm --apparent-size "$work/root" | cut -f1) * 5 / 4 + 600))
mke2fs -q -t ext4 -d "$work/root" "$work/disk" "${megabytes}M" >/dev/null || fail "mke2fs could not fill a disk of $megabytes MB"
mv "$work"/root/boot/vmlinuz-* "$work/kernel"
mv "$work"/root/boot/initrd.img-* "$work/initrd"
rm -rf "$work/root"

# Haswell-v4 is the oldest model with the AVX2, FMA, F16C and BMI2 that the model's kernels are compiled for; the 6.12
# kernel does not boot on "max" in Debian 12's qemu, and at random dies of a double fault where it finds cmpxchg16b.
timeout "$seconds" qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu Haswell-v4 -smp 2 -m 2048 \
  -display none -nic none -no-reboot -serial "file:$work/console" -serial "file:$work/output" \
  -drive "file=$work/disk,if=virtio,format=raw,cache=unsafe" -kernel "$work/kernel" -initrd "$work/initrd" \
  -append "root=/dev/vda rw console=ttyS0 quiet psi=1 panic=-1 random.trust_cpu=on clearcpuid=cx16" </dev/null >"$work/qemu" 2>&1 &
machine=$! # in the background, so that a signal to us is noticed at once
wait "$machine" || echo "vm.sh: qemu ended with status $? (124: after $seconds s): $(tail -n 2 "$work/qemu")" >&2
machine=

status=$(sed -n 's/\r*$//; s/^vm-status //p' "$work/output" | tail -n 1)
sed 's/\r*$//; /^vm-status [0-9]*$/d' "$work/output"
[ -n "$status" ] || fail "the command did not finish; the end of the console:" "$(tail -n 8 "$work/console")"
exit "$status"
