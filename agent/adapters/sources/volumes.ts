// Volumes that carry user-data, found by their label and read without leaving a mount behind: each is mounted in a mount
// namespace of one short-lived program, read-only, and vanishes with it. Needs root.
import { mkdtemp, readdir, realpath, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Identity } from "./identity.ts";
import type { Run } from "./child-program.ts";
import { maxUserDataBytes, unfit } from "./source.ts";

/** What providers format such volumes with. */
const usualTypes = ["iso9660", "udf", "vfat"];
/** Files of one volume. */
const maxFiles = 8;

export interface Volumes {
  /** The device with one of these labels, in whatever case; undefined: none (yet). */
  find(labels: readonly string[]): Promise<string | undefined>;
  /**
   * Those of the files that are on it, by name, with at most `maxUserDataBytes` each. Rejects with Problem "source-unfit"
   * when the volume cannot be mounted or a file is too long, "source-later" when it does not answer.
   */
  read(device: string, names: readonly string[]): Promise<ReadonlyMap<string, Buffer>>;
}

export interface VolumesOptions {
  readonly root: string;
  readonly identity: Identity;
  readonly run: Run;
  readonly signal: AbortSignal;
  /** File systems that may be mounted; those that providers use unless set. */
  readonly types?: readonly string[] | undefined;
}

export function createVolumes(options: VolumesOptions): Volumes {
  return {
    find: (labels) => (options.identity.isContainer ? Promise.resolve(undefined) : find(labels, options)),
    async read(device, names) {
      const folder = await mkdtemp(join(tmpdir(), "flotilla-volume-"));
      try {
        return await read({ device, folder, names }, options);
      } finally {
        await rmdir(folder);
      }
    },
  };
}

async function find(labels: readonly string[], { root, run, signal }: VolumesOptions): Promise<string | undefined> {
  const folder = join(root, "dev/disk/by-label");
  let known: readonly string[];
  try {
    known = await readdir(folder);
  } catch {
    // no udev on this machine, or no volume with a label: the volumes themselves are looked at
    return findByLooking(labels, { run, signal });
  }
  const wanted = labels.map((label) => label.toLowerCase());
  const name = known.toSorted().find((each) => wanted.includes(labelOf(each).toLowerCase()));
  return name === undefined ? undefined : realpath(join(folder, name));
}

/** udev writes what is not plain as \xNN: a space, and the backslash itself. */
function labelOf(link: string): string {
  return link.replace(/\\x([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

async function findByLooking(
  labels: readonly string[],
  { run, signal }: { readonly run: Run; readonly signal: AbortSignal },
): Promise<string | undefined> {
  const spellings = new Set(labels.flatMap((label) => [label, label.toLowerCase(), label.toUpperCase()]));
  for (const label of spellings) {
    const ran = await run(["blkid", "-c", "/dev/null", "-o", "device", "-t", `LABEL=${label}`], {
      signal,
      mostBytes: 4096,
    });
    const [device = ""] = ran?.stdout.toString("utf8").split("\n") ?? [];
    if (device.startsWith("/dev/")) return device;
  }
  return undefined;
}

/**
 * Arguments: device, folder, types, the most bytes of a file, names. Prints for each name that is a file a line
 * "NAME BYTES" and its content.
 */
const script = `
mount -t "$3" -o ro,nosuid,nodev,noexec -- "$1" "$2" || exit 100
cd -- "$2" || exit 101
most=$4
shift 4
for name; do
  if [ -L "$name" ] || [ ! -f "$name" ]; then continue; fi
  bytes=$(wc -c <"$name") || exit 102
  if [ "$bytes" -gt "$most" ]; then echo "$name is longer than $most bytes" >&2; exit 103; fi
  echo "$name $bytes"
  cat -- "$name" || exit 102
done
`;

interface Reading {
  readonly device: string;
  readonly folder: string;
  readonly names: readonly string[];
}

async function read(
  { device, folder, names }: Reading,
  { run, signal, types = usualTypes }: VolumesOptions,
): Promise<ReadonlyMap<string, Buffer>> {
  const asked = names.slice(0, maxFiles);
  const ran = await run(
    [
      "unshare",
      "--mount",
      "--",
      "sh",
      "-c",
      script,
      "sh",
      device,
      folder,
      types.join(","),
      String(maxUserDataBytes),
      ...asked,
    ],
    { signal, mostBytes: maxFiles * (maxUserDataBytes + 256) },
  );
  if (ran === undefined) throw unfit(`Cannot mount ${device}: the program unshare is missing`, "Install util-linux");
  if (ran.code !== 0) {
    const cause = ran.stderr === "" ? undefined : new Error(ran.stderr.split("\n").join(" "));
    throw unfit(`Cannot ${ran.code < 102 ? "mount" : "read"} the volume ${device}`, undefined, cause);
  }
  return unpack(ran.stdout, device);
}

function unpack(printed: Buffer, device: string): ReadonlyMap<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (let at = 0; at < printed.length;) {
    const end = printed.indexOf("\n", at);
    const [name = "", bytes = ""] = printed.subarray(at, end).toString("utf8").split(/\s+/);
    const size = Number(bytes);
    if (end < 0 || !Number.isSafeInteger(size) || end + 1 + size > printed.length)
      throw unfit(`Cannot read the volume ${device}: a file ends too early`);
    files.set(name, printed.subarray(end + 1, end + 1 + size));
    at = end + 1 + size;
  }
  return files;
}
