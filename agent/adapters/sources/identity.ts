// What the firmware and the kernel say about whose machine this is, so that several services at one address are told apart.
// Given to every source. Reads files only; what cannot be read is simply not known.
import { open } from "node:fs/promises";
import { join } from "node:path";

/** A kernel command line has at most 4 KiB on most machines; DMI strings are far shorter. */
const maxFactBytes = 16 * 1024;

export interface Identity {
  /** Strings of the firmware (dmidecode(8)), trimmed; "" where there is none or it may not be read. */
  readonly vendor: string;
  readonly product: string;
  readonly serial: string;
  readonly uuid: string;
  readonly assetTag: string;
  /** In a container firmware and devices are the host's, and say nothing about us. */
  readonly isContainer: boolean;
  /** Words of the kernel command line; in a container the words that its first process was started with. */
  readonly words: readonly string[];
  /** Whether udev is still looking at devices, so that a volume may yet turn up. */
  readonly areDevicesComing: boolean;
}

/** `root` stands before /sys, /proc and /run. Rejects with nothing. */
export async function readIdentity(root: string): Promise<Identity> {
  const read = (path: string): Promise<string> => readFact(join(root, path));
  const dmi = (name: string): Promise<string> => read(`sys/class/dmi/id/${name}`);
  const [vendor, product, serial, firmwareUuid, assetTag, hypervisorUuid, container, queue] = await Promise.all([
    dmi("sys_vendor"),
    dmi("product_name"),
    dmi("product_serial"),
    dmi("product_uuid"),
    dmi("chassis_asset_tag"),
    read("sys/hypervisor/uuid"),
    // written by systemd in every container that it boots (container interface of systemd)
    read("run/systemd/container"),
    isThere(join(root, "run/udev/queue")),
  ]);
  const isContainer = container !== "";
  const own = (fact: string): string => (isContainer ? "" : fact);
  const line = await read(isContainer ? "proc/1/cmdline" : "proc/cmdline");
  return {
    vendor: own(vendor),
    product: own(product),
    serial: own(serial),
    uuid: own(hypervisorUuid === "" ? firmwareUuid : hypervisorUuid).toLowerCase(),
    assetTag: own(assetTag),
    isContainer,
    words: splitWords(line),
    areDevicesComing: !isContainer && queue,
  };
}

/** The words of a command line: blanks or NUL part them, double quotes keep them together, as the kernel has it. */
export function splitWords(line: string): readonly string[] {
  const words = line.match(/(?:[^\s"\0]|"[^"]*"?)+/g) ?? [];
  return words.map((word) => word.replaceAll('"', ""));
}

/** The value of the last of `NAME=value` among the words, for any of the names; undefined when there is none. */
export function lastValue(words: readonly string[], names: readonly string[]): string | undefined {
  const word = words.findLast((each) => names.some((name) => each.startsWith(`${name}=`)));
  return word?.slice(word.indexOf("=") + 1);
}

/** "this machine's vendor is QEMU, not Amazon EC2": for a source whose marks are not there. */
export function notOf(identity: Identity, provider: string): string {
  if (identity.isContainer) return `this is a container, which does not say that it is of ${provider}`;
  const { vendor, product } = identity;
  if (vendor === "" && product === "") return `this machine does not say that it is of ${provider}`;
  return `this machine's vendor is ${clean(vendor === "" ? product : vendor)}, not ${provider}`;
}

/** Longest string of the firmware that is repeated to people. */
const saidChars = 64;

function clean(fact: string): string {
  return fact.replace(/[^\x20-\x7e]/g, "?").slice(0, saidChars);
}

async function readFact(path: string): Promise<string> {
  let file;
  try {
    file = await open(path, "r");
  } catch {
    return ""; // not there, or not for us to read: the fact is not known
  }
  try {
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(maxFactBytes) });
    return buffer.subarray(0, bytesRead).toString("utf8").trim();
  } catch {
    return ""; // some strings of sysfs are there and cannot be read
  } finally {
    await file.close();
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await (await open(path, "r")).close();
    return true;
  } catch {
    return false; // any reason means that nothing can be waited for
  }
}
