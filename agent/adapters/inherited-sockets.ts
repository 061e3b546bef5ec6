// Sockets that systemd made for this process (sd_listen_fds(3)): which there are, and where they listen. They stay systemd's:
// whoever serves them neither makes nor removes their files.
import { readFile, readlink } from "node:fs/promises";
import type { ListenAddress } from "../domain/listen.ts";
import { Problem } from "../domain/problem.ts";

/** SD_LISTEN_FDS_START. */
const firstFd = 3;
/** A unit has a few sockets. */
const maxSockets = 64;
/** __SO_ACCEPTCON among the flags of /proc/net/unix. */
const acceptsFlag = 0x10000;
/** TCP_LISTEN of /proc/net/tcp. */
const listenState = "0A";

export interface InheritedSocket {
  readonly fd: number;
  /** FileDescriptorName= of its unit: for people. */
  readonly name: string;
  readonly at: { readonly kind: "unix"; readonly path: string } | ({ readonly kind: "tcp" } & ListenAddress);
}

/**
 * Those that the environment speaks of, when it speaks to this process; the variables are taken out of it, so that no
 * child takes them for its own. Rejects with Problem "socket-activation" for what is no listening stream socket.
 */
export async function takeInheritedSockets({
  env,
  pid,
}: {
  readonly env: Record<string, string | undefined>;
  readonly pid: number;
} = process): Promise<readonly InheritedSocket[]> {
  const { LISTEN_PID: forPid, LISTEN_FDS: count = "", LISTEN_FDNAMES: names = "" } = env;
  delete env["LISTEN_PID"];
  delete env["LISTEN_FDS"];
  delete env["LISTEN_FDNAMES"];
  if (forPid !== String(pid)) return [];
  if (!/^\d{1,4}$/.test(count) || Number(count) > maxSockets)
    throw new Problem("socket-activation", `Cannot take LISTEN_FDS=${count.slice(0, 20)} sockets`, {
      hint: `It must be a number of at most ${maxSockets}`,
    });
  const known = names.split(":");
  const fds = Array.from({ length: Number(count) }, (_, index) => ({
    fd: firstFd + index,
    name: known[index] ?? "unknown",
  }));
  return Promise.all(fds.map(async (each) => ({ ...each, at: await placeOf(each) })));
}

async function placeOf({ fd, name }: { readonly fd: number; readonly name: string }): Promise<InheritedSocket["at"]> {
  const found = await readlink(`/proc/self/fd/${fd}`).catch(() => ""); // there is no such descriptor
  const [, inode] = /^socket:\[(\d+)\]$/.exec(found) ?? [];
  const at = inode === undefined ? undefined : ((await unixPlace(inode)) ?? (await tcpPlace(inode)));
  if (at !== undefined) return at;
  throw new Problem("socket-activation", `Cannot serve the API on socket ${fd} of systemd, "${name}"`, {
    hint: "In its unit it must be a ListenStream= with Accept=no: the path of a unix socket, or a TCP address",
  });
}

/** Num RefCount Protocol Flags Type St Inode Path (proc(5)); one that listens and has a path. */
async function unixPlace(inode: string): Promise<InheritedSocket["at"] | undefined> {
  for (const line of (await table("unix")).split("\n")) {
    const [, flags = "0", type, found, path] = /^\S+: \S+ \S+ (\S+) (\S+) \S+ +(\d+) (\/.*)$/.exec(line) ?? [];
    if (found !== inode || type !== "0001" || path === undefined) continue;
    return (parseInt(flags, 16) & acceptsFlag) === 0 ? undefined : { kind: "unix", path };
  }
  return undefined;
}

/** sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ... */
async function tcpPlace(inode: string): Promise<InheritedSocket["at"] | undefined> {
  for (const line of `${await table("tcp")}\n${await table("tcp6")}`.split("\n")) {
    const [, local = "", , state, , , , , , found] = line.trim().split(/ +/);
    const [, address, port] = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(local) ?? [];
    if (found !== inode || address === undefined || port === undefined) continue;
    return state === listenState ? { kind: "tcp", host: hostOf(address), port: parseInt(port, 16) } : undefined;
  }
  return undefined;
}

async function table(name: "unix" | "tcp" | "tcp6"): Promise<string> {
  return readFile(`/proc/self/net/${name}`, "utf8").catch(() => ""); // a kernel without IPv6 has no tcp6
}

/** The kernel prints words of 32 bits as this processor keeps them. */
function hostOf(hex: string): string {
  const bytes = Buffer.from(hex, "hex");
  for (let at = 0; at < bytes.length; at += 4) bytes.subarray(at, at + 4).reverse();
  if (bytes.length === 4) return [...bytes].join(".");
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}
