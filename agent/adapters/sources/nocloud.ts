// NoCloud: user-data and meta-data as two files, in a folder, on a volume labelled cidata, or below a URL that the kernel
// command line or the firmware's serial number names.
import { join } from "node:path";
import type { InstanceMetadata } from "../../domain/user-data.ts";
import { hostnameOf, instanceIdOf } from "./facts.ts";
import { readFolder, readWhole } from "./files.ts";
import { readNamed } from "./given.ts";
import type { Identity } from "./identity.ts";
import { withoutSecrets } from "./metadata-http.ts";
import { readMetaData } from "./meta-data.ts";
import {
  absent,
  type Answer,
  type Asking,
  found,
  later,
  maxUserDataBytes,
  noUserData,
  type Source,
  unfit,
} from "./source.ts";

const label = "cidata";
const folders = ["var/lib/cloud/seed/nocloud", "var/lib/cloud/seed/nocloud-net"];
const names = ["user-data", "meta-data"];

export const nocloud: Source = {
  name: "nocloud",
  async ask(asking) {
    const line = readLine(asking.identity);
    if (line?.seed !== undefined) return askSeed({ ...line, seed: line.seed }, asking);
    for (const folder of folders) {
      const files = await readFolder(join(asking.root, folder), { names, mostBytes: maxUserDataBytes });
      if (files.size > 0) return use(files, { where: `/${folder}`, line });
    }
    return askVolume(line, asking);
  },
};

/** `ds=nocloud;s=SEED;i=ID;h=NAME`. */
interface Line {
  readonly seed: string | undefined;
  readonly instanceId: string | undefined;
  readonly hostname: string | undefined;
}

function readLine({ words, serial }: Identity): Line | undefined {
  const shape = /^ds=nocloud(-net)?(;|$)/i;
  const word = words.findLast((each) => shape.test(each)) ?? (shape.test(serial) ? serial : undefined);
  if (word === undefined) return undefined;
  const value = (...keys: readonly string[]): string | undefined => {
    const pair = word.split(";").findLast((each) => keys.some((key) => each.startsWith(`${key}=`)));
    const text = pair?.slice(pair.indexOf("=") + 1);
    return text === "" ? undefined : text;
  };
  return {
    seed: value("s", "seedfrom"),
    instanceId: instanceIdOf(value("i", "instance-id")),
    hostname: hostnameOf(value("h", "local-hostname")),
  };
}

async function askSeed(line: Line & { readonly seed: string }, asking: Asking): Promise<Answer> {
  const seed = await withFirmware(line.seed, asking.root);
  if (/^https?:\/\//i.test(seed)) return askUrl(seed, { line, asking });
  const folder = seed.replace(/^file:\/\//i, "");
  if (!folder.startsWith("/"))
    throw unfit(`Cannot use the seed ${withoutSecrets(seed)}: it is neither http, https nor an absolute path`);
  const files = await readFolder(join(asking.root, folder), { names, mostBytes: maxUserDataBytes });
  if (files.size === 0) throw unfit(`Cannot read ${folder}: it has neither user-data nor meta-data`);
  return use(files, { where: folder, line });
}

async function askUrl(
  seed: string,
  { line, asking }: { readonly line: Line; readonly asking: Asking },
): Promise<Answer> {
  // "%s" stands for the name of the file; elsewhere it is put at the end
  const place = (name: string): string =>
    seed.includes("%s") ? seed.replaceAll("%s", name) : `${seed}${seed.endsWith("/") ? "" : "/"}${name}`;
  const files = new Map<string, Buffer>();
  for (const name of names) {
    const body = await readNamed(place(name), asking);
    if (body !== undefined) files.set(name, body);
  }
  const where = withoutSecrets(place(""));
  if (files.size === 0) throw unfit(`Cannot read ${where}: it has neither user-data nor meta-data`);
  return use(files, { where, line });
}

async function askVolume(line: Line | undefined, { identity, volumes, isInsisted }: Asking): Promise<Answer> {
  const empty = `nothing in /${folders[0] ?? ""}`;
  if (identity.isContainer) return absent(empty);
  const device = await volumes.find([label]);
  if (device !== undefined) {
    const files = await volumes.read(device, names);
    if (files.size === 0) throw unfit(`Cannot use the volume ${device}: it has neither user-data nor meta-data`);
    return use(files, { where: device, line });
  }
  const isPromised = isInsisted || line !== undefined || identity.areDevicesComing;
  return isPromised ? later(`no volume labelled ${label} yet`) : absent(`no volume labelled ${label}, and ${empty}`);
}

function use(
  files: ReadonlyMap<string, Buffer>,
  { where, line }: { readonly where: string; readonly line: Line | undefined },
): Answer {
  const own = readMetaData(files.get("meta-data"), `${where.replace(/\/$/, "")}/meta-data`);
  const metadata: InstanceMetadata = {
    ...own,
    instanceId: line?.instanceId ?? own.instanceId,
    hostname: line?.hostname ?? own.hostname,
  };
  return found("nocloud", { where, userData: files.get("user-data") ?? noUserData, metadata });
}

/** cloud-init's names of the firmware's strings, and the kernel's. */
const firmware: Readonly<Record<string, string>> = {
  "baseboard-asset-tag": "board_asset_tag",
  "baseboard-manufacturer": "board_vendor",
  "baseboard-product-name": "board_name",
  "baseboard-serial-number": "board_serial",
  "baseboard-version": "board_version",
  "bios-release-date": "bios_date",
  "bios-vendor": "bios_vendor",
  "bios-version": "bios_version",
  "chassis-asset-tag": "chassis_asset_tag",
  "chassis-manufacturer": "chassis_vendor",
  "chassis-serial-number": "chassis_serial",
  "chassis-version": "chassis_version",
  "system-manufacturer": "sys_vendor",
  "system-product-name": "product_name",
  "system-serial-number": "product_serial",
  "system-uuid": "product_uuid",
  "system-version": "product_version",
};
/** Of one string of the firmware. */
const maxFirmwareBytes = 4096;

/** A seed with `__dmi.NAME__` replaced by that string of the firmware, so that one line serves many machines. */
async function withFirmware(seed: string, root: string): Promise<string> {
  let text = seed;
  for (const [whole, name = ""] of seed.matchAll(/__dmi\.([a-z-]+)__/g)) {
    const file = Object.hasOwn(firmware, name) ? firmware[name] : undefined;
    const path = `/sys/class/dmi/id/${file ?? name}`;
    const value = file === undefined ? undefined : await readWhole(join(root, path), { mostBytes: maxFirmwareBytes });
    if (value === undefined) throw unfit(`Cannot fill in ${whole} of the seed: there is no ${path}`);
    text = text.replaceAll(whole, encodeURIComponent(value.toString("utf8").trim()));
  }
  return text;
}
