// The shell scripts and the few units of which a private machine is made. Given to machine-host.ts; tests share one of them.
// Everything that varies comes in as positional arguments, never as script text. The scripts themselves come in by
// environment, so that a listing of processes can still be read; nothing of it reaches the machine's units.

/**
 * Leaves in $parent the folder of the control group that this process is in, or nothing when no cgroup2 file system can be
 * seen; $own is its name. Of use to whoever makes a control group below it.
 */
export const findGroupScript = String.raw`
own=$(sed -n 's/^0:://p' /proc/self/cgroup)
parent=
while read -r _ _ _ root point rest; do
  case "$root $rest" in "/ "*" - cgroup2 "*) ;; *) continue ;; esac
  parent=$(printf '%b' "$point")${"$"}{own%/}
  [ ! -f "$parent/cgroup.procs" ] || break
  parent= # covered by another mount
done </proc/self/mountinfo
`;

/**
 * Runs outside the machine and outlives everything in it, to clear away its control group: $1 the machine's folder,
 * $2 its name, then options for unshare. Its standard input is the lifeline: when that
 * ends, however this came about, the machine ends. Says on standard output: `pid N` (the
 * machine's first process, seen from outside), `missing WHAT`, `ready`, `ended`.
 */
export const keeperScript = String.raw`
set -u
dir=$1 name=$2
shift 2
exec 3<&0 </dev/null
${findGroupScript}
if [ -z "$parent" ] || [ -z "$own" ]; then echo "missing cgroup2"; exit 1; fi
group=$parent/flotilla-machine-$name-$$
if ! mkdir "$group"; then echo "missing cgroup"; exit 1; fi
unshare "$@" --mount --pid --fork --kill-child --ipc sh -c 'eval "$MACHINE_ENTER"' enter "$dir" "$group" &
wait $!
trap '' PIPE
echo ended 2>/dev/null
# Its processes are gone, and with the last of them its mounts; what is left is the control group, deepest first.
tries=0
while [ -d "$group" ] && [ $tries -lt 50 ]; do
  find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
  [ -d "$group" ] || break
  tries=$((tries + 1))
  sleep 0.1
done
`;

/** Process 1 of the machine's namespaces, before it has a control group namespace: $1 its folder, $2 its control group. */
export const enterScript = String.raw`
# Seen from outside, as this is still the host's /proc.
read -r self _ </proc/self/stat
echo "pid $self"
echo 0 >"$2/cgroup.procs" || { echo "missing cgroup"; exit 1; }
exec unshare --cgroup sh -c 'eval "$MACHINE_BOOT"' boot "$1"
`;

/** Makes the machine's view of the host, then starts systemd and waits for its end: $1 the machine's folder. */
export const bootScript = String.raw`
dir=$1
stage=$dir/stage
cd / || exit 1
need() { "$@" || { echo "missing mount"; exit 1; }; }
# An empty folder in place of the host's own, in which the machine's folder is still to be found where it was.
hide() {
  need mount -n -t tmpfs -o "mode=$2" tmpfs "$stage"
  case "$dir/" in
    "$1"/*) need mkdir -p "$stage${"$"}{dir#"$1"}"; need mount -n --bind "$dir" "$stage${"$"}{dir#"$1"}" ;;
  esac
  need mount -n --move "$stage" "$1"
}
need mount -n -t proc proc /proc
# By way of another place: the kernel refuses a file system where it is mounted already.
need mount -n -t cgroup2 none "$stage"
need mount -n --move "$stage" /sys/fs/cgroup
need mount -n --bind "$dir" "$dir"
# The host's files can be read and not changed. Options that may not be taken off in a namespace are said again.
while read -r _ _ _ _ point options _; do
  point=$(printf '%b' "$point")
  case $point in /proc | /proc/* | /sys | /sys/* | /dev | /dev/* | "$dir") continue ;; esac
  case $options in ro | ro,*) continue ;; esac
  mount -n -o "remount,bind,ro${"$"}{options#rw}" "$point" 2>/dev/null || [ "$point" != / ] || need false
done <<END
$(cat /proc/self/mountinfo)
END
if [ -d /run/systemd/system ]; then
  # Nothing of the host's own systemd and journal is seen but how names are resolved.
  names=
  if [ -d /run/systemd/resolve ]; then
    names=$dir/resolve
    need mkdir -p "$names"
    need mount -n --bind /run/systemd/resolve "$names"
  fi
  hide /run/systemd 755
  if [ -n "$names" ]; then
    need mkdir /run/systemd/resolve
    need mount -n --move "$names" /run/systemd/resolve
  fi
else
  hide /run 755
fi
need mkdir -p /run/systemd/system /run/systemd/journal /run/systemd/journald.conf.d
# Programs that ask for the system's own manager get the machine's.
need ln -s "$dir/run/systemd/private" /run/systemd/private
hide /tmp 1777
[ ! -d /var/tmp ] || hide /var/tmp 1777
[ ! -d /var/log ] || { hide /var/log 755; need mkdir /var/log/journal; }
systemd=
for each in /usr/lib/systemd/systemd /lib/systemd/systemd; do
  if [ -x "$each" ]; then systemd=$each; break; fi
done
[ -n "$systemd" ] || { echo "missing systemd"; exit 1; }
drop=
[ "$(id -u)" = 0 ] || drop="setpriv --ambient-caps -all --inh-caps -all --bounding-set -all"
home=$dir/home
# A journal of its own, for whoever asks what its units said. Without one the machine is as good as before.
if [ -x "${"$"}{systemd%/*}/systemd-journald" ]; then
  printf '%s\n' '[Journal]' Storage=auto SystemMaxUse=16M RuntimeMaxUse=16M RateLimitIntervalSec=0 ReadKMsg=no Audit= \
    ForwardToSyslog=no ForwardToKMsg=no ForwardToConsole=no ForwardToWall=no >/run/systemd/journald.conf.d/machine.conf
  : >/run/systemd/journal/flushed # /var/log is there from the start
  "${"$"}{systemd%/*}/systemd-journald" 3<&- </dev/null >/dev/null 2>&1 &
  journal=$!
  # systemd looks for it once, and never again.
  tries=0
  while [ ! -S /run/systemd/journal/socket ] && [ $tries -lt 100 ] && kill -0 $journal 2>/dev/null; do
    tries=$((tries + 1))
    sleep 0.02
  done
fi
read -r said <"$dir/run/ready" && echo "$said" &
$drop env -i PATH="$PATH" LANG=C.UTF-8 SHELL=/bin/sh HOME="$home" XDG_RUNTIME_DIR="$dir/run" \
  XDG_CONFIG_HOME="$home/.config" XDG_DATA_HOME="$home/.local/share" XDG_STATE_HOME="$home/.local/state" \
  XDG_CACHE_HOME="$home/.cache" XDG_CONFIG_DIRS="$dir/empty" XDG_DATA_DIRS="$dir/empty" \
  SYSTEMD_UNIT_PATH="$home/.config/systemd/user:$dir/run/systemd/transient:$dir/run/systemd/user:$dir/units" \
  SYSTEMD_GENERATOR_PATH="$dir/empty" SYSTEMD_ENVIRONMENT_GENERATOR_PATH="$dir/empty" \
  DBUS_SYSTEM_BUS_ADDRESS="unix:path=$dir/run/no-bus" \
  "$systemd" --user --log-target=journal 3<&- &
main=$!
{
  while read -r order <&3; do [ "$order" != stop ] || kill -TERM $main; done
  kill -KILL $main
} &
exec 3<&-
wait $main
`;

const target = (description: string, more = ""): string => `[Unit]\nDescription=${description}\n${more}`;
const early = "DefaultDependencies=no\n";

/**
 * Every unit that a machine has of its own, by file name. Targets that only system managers have are there so that units
 * written for a real machine find what they ask for. `door` hands connections from outside on to systemd's own socket:
 * systemd takes none from a process that it cannot see.
 */
export function machineUnits(proxy: string): Readonly<Record<string, string>> {
  const empty = ["sockets", "timers", "paths", "network", "network-online", "local-fs", "sysinit", "multi-user"];
  return {
    ...Object.fromEntries(empty.map((name) => [`${name}.target`, target(`A machine's ${name}`, early)])),
    "basic.target": target(
      "The basics of a machine",
      `${early}Wants=sockets.target timers.target paths.target\nAfter=sockets.target timers.target paths.target\n`,
    ),
    "default.target": target(
      "A running machine",
      "AllowIsolate=yes\nRequires=basic.target door.socket\nWants=door.service ready.service\nAfter=basic.target door.socket\n",
    ),
    "shutdown.target": target("The end of a machine", `${early}RefuseManualStart=yes\n`),
    "exit.target": target(
      "Leaving a machine",
      `${early}AllowIsolate=yes\nRequires=systemd-exit.service\nAfter=systemd-exit.service\n`,
    ),
    "systemd-exit.service": target(
      "Leaving a machine",
      `${early}Requires=shutdown.target\nAfter=shutdown.target\nSuccessAction=exit-force\n[Service]\nType=oneshot\nSlice=-.slice\nExecStart=/bin/true\n`,
    ),
    "door.socket": target("The way in to systemd", `${early}[Socket]\nListenStream=%t/door\nSocketMode=0600\n`),
    "door.service": target("The way in to systemd", `${early}[Service]\nExecStart=${proxy} %t/systemd/private\n`),
    "ready.service": target(
      "Says that the machine is up",
      `${early}After=door.service\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo ready >"$$0"' %t/ready\n`,
    ),
  };
}
