// Reads what this machine is from /etc, /proc and the kernel's list of interfaces. Implements ports/host.ts.
import { readFile } from "node:fs/promises";
import { BlockList, isIPv4 } from "node:net";
import { availableParallelism, hostname, networkInterfaces, totalmem, type NetworkInterfaceInfo } from "node:os";
import { join } from "node:path";
import { parseMachineId } from "../domain/names.ts";
import { Problem, invalid } from "../domain/problem.ts";
import type { Host } from "../ports/host.ts";

export interface HostSources {
  /** Stands before /etc and /proc; "/" unless set. */
  readonly root?: string;
  /** What the kernel lists; the operating system's own unless set. */
  readonly interfaces?: () => Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;
  readonly hostname?: () => string;
}

export function createHost({
  root = "/",
  interfaces = networkInterfaces,
  hostname: ownName = hostname,
}: HostSources = {}): Host {
  const read = (path: string): Promise<string> => readFile(join(root, path), "utf8");
  return {
    async machineId() {
      const path = "/etc/machine-id";
      let text: string;
      try {
        text = (await read(path)).trim();
      } catch (cause) {
        return invalid(
          new Problem("machine-id", `Cannot read ${path}`, {
            hint: "Run: systemd-machine-id-setup; or set [Machine] Id=",
            cause,
          }),
        );
      }
      // "uninitialized" is systemd's own word for a first boot that is not over (machine-id(5))
      if (text === "" || text === "uninitialized")
        return invalid(
          new Problem("machine-id", `Cannot find a machine id in ${path}`, {
            hint: "Run: systemd-machine-id-setup; or set [Machine] Id=",
          }),
        );
      return parseMachineId(text.replaceAll("-", "").toLowerCase());
    },

    async facts() {
      let bootId: string;
      try {
        bootId = (await read("/proc/sys/kernel/random/boot_id")).trim().replaceAll("-", "");
      } catch (cause) {
        throw new Problem("host-facts", "Cannot read the boot id of this machine", {
          hint: "/proc must be mounted",
          cause,
        });
      }
      const routes = await Promise.all([optional(read("/proc/net/route")), optional(read("/proc/net/ipv6_route"))]);
      return {
        hostname: ownName(),
        bootId,
        cpus: availableParallelism(),
        memoryBytes: totalmem(),
        publicIp: publicAddress(defaultInterfaces(...routes), interfaces()),
      };
    },
  };
}

/** "" for a table that is not there: a kernel without IPv6 has no IPv6 routes. */
async function optional(reading: Promise<string>): Promise<string> {
  try {
    return await reading;
  } catch {
    // nothing depends on it: no route is known then, and the address stays unknown
    return "";
  }
}

/** Interfaces with a default route, best metric first, IPv4's before IPv6's. Texts as in proc_net(5). */
export function defaultInterfaces(route4: string, route6: string): readonly string[] {
  const routes = [
    ...rows(route4)
      .slice(1)
      .filter((row) => row[1] === "00000000" && row[7] === "00000000" && isUp(row[3]))
      .map((row) => ({ name: row[0] ?? "", family: 4, metric: parseInt(row[6] ?? "", 10) })),
    ...rows(route6)
      .filter((row) => row[0] === "0".repeat(32) && row[1] === "00" && isUp(row[8]) && row[9] !== "lo")
      .map((row) => ({ name: row[9] ?? "", family: 6, metric: parseInt(row[5] ?? "", 16) })),
  ];
  const sorted = routes.sort((a, b) => a.family - b.family || a.metric - b.metric);
  return [...new Set(sorted.map(({ name }) => name))];
}

function rows(text: string): readonly (readonly string[])[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => line.trim().split(/\s+/));
}

/** RTF_UP is 1, RTF_REJECT is 0x200 (route(8)). */
function isUp(flags: string | undefined): boolean {
  return (parseInt(flags ?? "", 16) & 0x201) === 1;
}

/** The address of one of `names`: the first IPv4 of all of them before the first IPv6; "" when none is publishable. */
export function publicAddress(
  names: readonly string[],
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>,
): string {
  const addresses = names.flatMap((name) => interfaces[name] ?? []).map(({ address }) => address);
  const publishable = addresses.filter(isPublishable);
  return publishable.find((address) => isIPv4(address)) ?? publishable[0] ?? "";
}

const local4 = new BlockList();
local4.addSubnet("0.0.0.0", 8, "ipv4");
local4.addSubnet("127.0.0.0", 8, "ipv4");
local4.addSubnet("169.254.0.0", 16, "ipv4");
local4.addSubnet("224.0.0.0", 3, "ipv4");

const global6 = new BlockList();
global6.addSubnet("2000::", 3, "ipv6");
global6.addSubnet("fc00::", 7, "ipv6");

/** Whether an address of an interface reaches this machine from others: neither loopback, link-local, multicast nor none. */
export function isPublishable(address: string): boolean {
  return isIPv4(address) ? !local4.check(address, "ipv4") : global6.check(address, "ipv6");
}
