// The shell scripts behind booted machines: the world that they stand in, their disks, their start. For network.ts and
// machine.ts only. What varies comes in as positional arguments, never as script text.
import { findGroupScript } from "../../../agent/adapters/machine-scripts.ts";

/**
 * Outlives the world, to clear away its control group: $1 the group's name, beginning with "flotilla-test-PID-"; then what
 * worldScript gets. Its standard input is the lifeline: when that ends, however this came about, everything in the world
 * ends. Says on standard output `group DIR`, `pid N` (the world's first process, seen from outside) once the world is
 * there, or `missing WHAT`.
 */
export const keeperScript = String.raw`
set -u
name=$1
shift
exec 3<&0 </dev/null
${findGroupScript}
if [ -z "$parent" ] || [ -z "$own" ]; then echo "missing a cgroup2 file system that can be seen"; exit 1; fi
clear() { find "$1" -depth -type d -exec rmdir {} + 2>/dev/null; }
for old in "$parent"/flotilla-test-*; do
  # Left by a keeper that was killed. One that is in use cannot be removed.
  pid=${"$"}{old##*/flotilla-test-}
  [ ! -d "$old" ] || [ -d "/proc/${"$"}{pid%%-*}" ] || clear "$old"
done
group=$parent/$name
if ! mkdir "$group"; then echo "missing the right to make a control group"; exit 1; fi
echo "group $group"
(
  echo 0 >"$group/cgroup.procs" || { echo "missing the right to enter a control group"; exit 1; }
  exec unshare --mount --net --pid --cgroup --fork --kill-child sh -c 'eval "$WORLD"' world "$@"
) &
wait $!
status=$?
trap '' PIPE
[ $status -eq 0 ] || echo "missing the right to namespaces (or the world ended early)" 2>/dev/null
tries=0
while [ -d "$group" ] && [ $tries -lt 50 ]; do
  clear "$group"
  [ -d "$group" ] || break
  tries=$((tries + 1))
  sleep 0.1
done
`;

/**
 * Process 1 of the world: $1 the bridge's address with its prefix, then more addresses of the bridge. It has /run to
 * itself, so that neither ip nor nspawn leave anything on the host. Ends with the lifeline, and everything with it.
 */
export const worldScript = String.raw`
set -u
# Seen from outside, as this is still the host's /proc.
read -r self _ </proc/self/stat
cd / || exit 1
need() { what=$1; shift; "$@" || { echo "missing $what"; exit 0; }; }
need "the right to mount" mount -n -t proc proc /proc
need "the right to mount" mount -n -t tmpfs -o mode=755 tmpfs /run
mkdir /run/netns /run/machines /run/group
# By way of another place: the kernel refuses a file system where it is mounted already.
need "the right to mount cgroup2" mount -n -t cgroup2 none /run/group
need "the right to mount cgroup2" mount -n --move /run/group /sys/fs/cgroup
need "the right to set up a network" ip link set lo up
need "network bridges" ip link add bridge type bridge
for address in "$@"; do need "the right to set up a network" ip address add "$address" dev bridge; done
need "the right to set up a network" ip link set bridge up
echo "pid $self"
cat <&3 >/dev/null &
wait $!
`;

/** A machine's end of the network: $1 its name, $2 its number, $3 its address with prefix, $4 the gateway's address. */
export const linkScript = String.raw`
set -eu
ip netns add "$1"
ip link add "port$2" type veth peer name eth0 netns "$1"
ip link set "port$2" master bridge up
ip -n "$1" link set lo up
ip -n "$1" address add "$3" dev eth0
ip -n "$1" link set eth0 up
ip -n "$1" route add default via "$4"
`;

/**
 * A new disk: $1 the machine's folder, $2 its size, $3 its host name, $4 its machine id. It is a memory file system, as
 * an overlay cannot have its upper layer inside its lower one and as nothing of it shall be left. Of the host's root only
 * programs and configuration show through, and of those nothing that a fresh machine would not have.
 */
export const diskScript = String.raw`
set -eu
cd /
mkdir -p "$1"
mount -n -t tmpfs -o "mode=755,size=$2" tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
hide() { mkdir -p "$(dirname "$top/$1")"; mknod "$top/$1" c 0 0; }
top=$1/upper
for each in $(ls -A /); do
  case $each in bin | etc | lib | lib32 | lib64 | libx32 | sbin | usr | var) ;; *) hide "$each" ;; esac
done
for each in etc/fstab etc/flotilla etc/hostname etc/hosts etc/machine-id etc/resolv.conf etc/rc[0-6S].d etc/ssh/sshd_config.d \
  etc/systemd/network etc/systemd/system usr/lib/systemd/network var/lib/cloud var/lib/etcd var/lib/flotilla var/lib/private \
  var/lib/systemd var/lib/dbus/machine-id var/log var/tmp; do
  [ ! -e "/$each" ] && [ ! -L "/$each" ] || hide "$each"
done
mount -n -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
exec chroot "$1/root" /bin/sh -euc '
  PATH=/usr/sbin:/usr/bin:/sbin:/bin
  cd /
  mkdir dev home media mnt opt proc run srv sys
  mkdir -m 700 root
  mkdir -m 1777 tmp var/tmp
  mkdir -p etc/ssh/sshd_config.d etc/systemd/network etc/systemd/system var/lib/systemd var/log/journal
  if grep -q "^etcd:" etc/passwd; then mkdir -m 700 var/lib/etcd; chown etcd: var/lib/etcd; fi
  : >etc/fstab
  : >etc/resolv.conf
  echo "$1" >etc/hostname
  echo "$2" >etc/machine-id
  printf "127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost ip6-localhost ip6-loopback\n" "$1" >etc/hosts
  cd etc/systemd/system
  ln -s /lib/systemd/system/multi-user.target default.target
  for unit in console-getty.service dev-hugepages.mount getty.target sys-fs-fuse-connections.mount systemd-firstboot.service \
    systemd-repart.service systemd-tmpfiles-clean.timer systemd-udevd.service systemd-udev-trigger.service; do
    ln -s /dev/null "$unit"
  done
' furnish "$3" "$4"
`;

/** Forgets the disk of $1, the machine's folder, with what was bound into it. */
export const undiskScript = String.raw`
set -eu
umount -n -R "$1/root"
umount -n "$1"
`;

/** Makes the disk of $1, the machine's folder, no larger than what is on it. */
export const fillScript = String.raw`
set -eu
mount -n -o "remount,size=$(df --output=used -k "$1" | tail -n 1 | tr -d ' ')k" "$1"
`;

/** Gives the disk of $1, the machine's folder, the size $2. */
export const freeScript = String.raw`
exec mount -n -o "remount,size=$2" "$1"
`;

/** In a machine's root, running or not: what comes in becomes the file $1 with mode $2. Replaces a link, never follows it. */
export const writeScript = String.raw`
set -eu
mkdir -p "$(dirname "$1")"
rm -f "$1"
cat >"$1"
chmod "$2" "$1"
`;

/** Shows the host's file or folder $2 at $3 of the machine whose folder is $1; read-only. */
export const bindScript = String.raw`
set -eu
to=$(chroot "$1/root" readlink -m "$3")
if [ ! -e "$1/root$to" ] && [ -d "$2" ]; then mkdir -p "$1/root$to"; fi
if [ ! -e "$1/root$to" ]; then mkdir -p "$(dirname "$1/root$to")"; : >"$1/root$to"; fi
mount -n --bind "$2" "$1/root$to"
mount -n -o remount,bind,ro "$1/root$to"
`;

/**
 * Starts a machine: $1 its control group seen from outside, $2 the world's first process, $3 the machine's folder, $4 its
 * name, then the words that its process 1 is given.
 */
export const startScript = String.raw`
echo 0 >"$1/cgroup.procs" || exit 1
world=$2
shift 2
exec nsenter --target "$world" --mount --net --pid --cgroup -- unshare --mount sh -c '
  mount -n -t tmpfs tmpfs /tmp || exit 1 # where nspawn makes its mount points
  folder=$1
  name=$2
  shift 2
  exec systemd-nspawn --boot --register=no --keep-unit --quiet --settings=no --console=pipe --machine="$name" \
    --directory="$folder/root" --network-namespace-path="/run/netns/$name" --capability=CAP_NET_ADMIN --tmpfs=/var/tmp:mode=1777 \
    --resolv-conf=off --timezone=off --link-journal=no "$@"
' nspawn "$@"
`;

/** A command within a machine: $1 the control group that it goes into, $2 the machine's process 1, then the command. */
export const runScript = String.raw`
echo 0 >"$1/cgroup.procs" || exit 125
target=$2
shift 2
exec nsenter --target "$target" --all --root --wd -- setpriv --pdeathsig KILL -- env -i HOME=/root LANG=C.UTF-8 \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
`;

/**
 * For node, within the network: makes sockets there and hands them to the test's process, where servers and clients live.
 * A socket belongs to the network in which it was made, whoever has it.
 */
export const socketScript = String.raw`
const net = require("node:net");
process.on("disconnect", () => process.exit());
process.on("message", ({ id, kind, host, port }) => {
  const refuse = (error) => process.send({ id, error: error.message });
  if (kind === "listen") {
    const server = net.createServer();
    server.once("error", refuse);
    server.listen({ host, port }, () => process.send({ id, port: server.address().port }, server, () => server.close()));
    return;
  }
  const socket = net.connect({ host, port });
  socket.once("error", refuse);
  socket.once("connect", () => {
    socket.off("error", refuse);
    process.send({ id, port }, socket);
  });
});
`;
