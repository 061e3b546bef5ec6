// VMware: guestinfo variables, asked of the hypervisor by its own tools, in cloud-init's names and in CoreOS's; and the OVF
// environment that an appliance is deployed with.
import { Problem } from "../../domain/problem.ts";
import type { AddressName } from "../../domain/user-data.ts";
import { addressesOf, addressOf, fromBase64, hostnameOf, instanceIdOf, keysOf, nameOf, pick } from "./facts.ts";
import { readNamed } from "./given.ts";
import { notOf } from "./identity.ts";
import { readMetaData } from "./meta-data.ts";
import { withoutSecrets } from "./metadata-http.ts";
import {
  absent,
  type Answer,
  type Asking,
  found,
  maxUserDataBytes,
  noMetadata,
  noUserData,
  type Source,
  unfit,
} from "./source.ts";
import { elements, readXml, withoutEntities } from "./xml.ts";

const tools = [
  (request: string): readonly [string, ...string[]] => ["vmware-rpctool", request],
  (request: string): readonly [string, ...string[]] => ["vmtoolsd", "--cmd", request],
];
/** A value as base64. */
const maxValueBytes = 2 * maxUserDataBytes;
/** Where an appliance finds its environment when it is handed over on a disc. */
const environmentLabels = ["OVF ENV", "OVFENV", "OVF-TRANSPORT"];
const environmentName = "ovf-env.xml";
/** Interfaces, and addresses of each, that are looked for. */
const maxInterfaces = 8;

/** The variable's text; undefined when it is not set. Rejects with Problem "source-later" when that cannot be told. */
type Variables = (name: string) => Promise<string | undefined>;

export const vmware: Source = {
  name: "vmware",
  async ask(asking) {
    const { identity, isInsisted } = asking;
    const isVmware = [identity.vendor, identity.product].some((fact) => fact.startsWith("VMware"));
    if (!isInsisted && !isVmware) return absent(notOf(identity, "VMware"));
    const guestInfo = await openGuestInfo(asking);
    const environment = await readEnvironment(asking, guestInfo);
    if (guestInfo === undefined && environment.size === 0)
      return absent("neither vmware-rpctool nor vmtoolsd is installed, and there is no OVF environment");
    const variable: Variables = async (name) =>
      (await guestInfo?.(name)) ?? environment.get(`guestinfo.${name}`) ?? environment.get(name);
    return ask(asking, variable);
  },
};

async function ask(asking: Asking, variable: Variables): Promise<Answer> {
  const given = await readUserData(asking, variable);
  const text = await readEncoded("metadata", variable);
  const meta = text === undefined ? noMetadata : readMetaData(text, "guestinfo.metadata");
  const [hostname, instanceId, keys] = await Promise.all(["hostname", "instance-id", "public-keys"].map(variable));
  const addresses = { ...(await readAddresses(variable)), ...meta.addresses };
  const metadata = {
    // every machine has an id of the hypervisor's, whatever it was told besides
    instanceId: meta.instanceId ?? instanceIdOf(instanceId) ?? instanceIdOf(asking.identity.uuid),
    hostname: meta.hostname ?? hostnameOf(hostname),
    sshKeys: keysOf(...meta.sshKeys, keys),
    addresses,
  };
  const isTold = text !== undefined || metadata.hostname !== undefined || Object.keys(addresses).length > 0;
  if (given === undefined && !isTold) return absent("guestinfo has neither userdata nor coreos.config.data");
  return found("vmware", {
    where: given?.where ?? "guestinfo",
    userData: given?.userData ?? noUserData,
    metadata,
  });
}

async function readUserData(
  asking: Asking,
  variable: Variables,
): Promise<{ readonly where: string; readonly userData: Uint8Array } | undefined> {
  for (const name of ["userdata", "coreos.config.data"]) {
    const userData = await readEncoded(name, variable);
    if (userData !== undefined) return { where: `guestinfo.${name}`, userData };
  }
  const url = await variable("coreos.config.url");
  if (url !== undefined) {
    const userData = await readNamed(url, asking);
    if (userData === undefined) throw unfit(`Cannot read ${withoutSecrets(url)}: there is no such document`);
    return { where: withoutSecrets(url), userData };
  }
  // the property of appliances that cloud-init reads as well
  const packed = await variable("user-data");
  if (packed === undefined) return undefined;
  return { where: "user-data of the OVF environment", userData: fromBase64(packed) ?? Buffer.from(packed) };
}

/** A variable and the one that says how it is packed. What is gzip besides is left so: every reader of user-data knows it. */
async function readEncoded(name: string, variable: Variables): Promise<Uint8Array | undefined> {
  const text = await variable(name);
  if (text === undefined) return undefined;
  const encoding = (await variable(`${name}.encoding`))?.trim() ?? "";
  if (encoding === "") return Buffer.from(text);
  if (!/^((gz|gzip)\+)?(b64|base64)$/.test(encoding))
    throw unfit(
      `Cannot decode guestinfo.${name}: its encoding "${encoding.slice(0, 32)}" is not known`,
      "Use base64 or gzip+base64",
    );
  const bytes = fromBase64(text);
  if (bytes === undefined) throw unfit(`Cannot decode guestinfo.${name}: it is not base64`);
  return bytes;
}

/** How guestinfo is read, with the first tool that works; undefined when none is installed. */
async function openGuestInfo({ run, signal }: Asking): Promise<Variables | undefined> {
  let complaint: string | undefined;
  for (const tool of tools) {
    const read = async (name: string): Promise<string | undefined | false> => {
      const ran = await run(tool(`info-get guestinfo.${name}`), { signal, mostBytes: maxValueBytes });
      if (ran === undefined) return false;
      if (ran.code === 0) {
        // both tools end what they print with a line end of their own
        const text = ran.stdout.toString("utf8").replace(/\n$/, "");
        // "---" is what cloud-init leaves where it took a value away
        return ["", "---"].includes(text.trim()) ? undefined : text;
      }
      if (/no value found/i.test(ran.stderr)) return undefined;
      complaint = ran.stderr;
      return false;
    };
    if ((await read("userdata")) !== false)
      return async (name) => {
        const value = await read(name);
        if (value !== false) return value;
        // It works, and has not said that there is no such variable
        throw new Problem("source-later", `Cannot read guestinfo.${name}`, {
          ...(complaint === undefined ? {} : { cause: new Error(complaint) }),
        });
      };
  }
  if (complaint === undefined) return undefined;
  throw unfit("Cannot read guestinfo", "The tools of the hypervisor must be allowed to ask it", new Error(complaint));
}

/** Properties of the OVF environment, from guestinfo or from a disc; empty when there is none. */
async function readEnvironment(
  { identity, volumes }: Asking,
  guestInfo: Variables | undefined,
): Promise<ReadonlyMap<string, string>> {
  const text = await guestInfo?.("ovfEnv");
  if (text !== undefined) return readProperties(Buffer.from(text), "guestinfo.ovfEnv");
  const device = identity.isContainer ? undefined : await volumes.find(environmentLabels);
  const body = device === undefined ? undefined : (await volumes.read(device, [environmentName])).get(environmentName);
  return body === undefined ? new Map() : readProperties(body, `${device ?? ""}/${environmentName}`);
}

function readProperties(body: Uint8Array, where: string): ReadonlyMap<string, string> {
  const sections = elements(pick(readXml(body, where), "Environment", "PropertySection"));
  const properties = sections.flatMap((section) => elements(pick(section, "Property")));
  return new Map(
    properties.flatMap((property) => {
      const [key, value] = [pick(property, "@key"), pick(property, "@value")];
      return typeof key === "string" && typeof value === "string" && value !== ""
        ? [[withoutEntities(key), withoutEntities(value)] as const]
        : [];
    }),
  );
}

/** CoreOS's names: `interface.0.ip.0.address` and `interface.0.role`, which is public or private. */
async function readAddresses(variable: Variables): Promise<Readonly<Partial<Record<AddressName, string>>>> {
  const kept: Partial<Record<AddressName, string>> = {};
  for (let position = 0; position < maxInterfaces; position++) {
    const at = `interface.${position}`;
    const [role, first, second] = await Promise.all(
      [`${at}.role`, `${at}.ip.0.address`, `${at}.ip.1.address`].map(variable),
    );
    if (role === undefined && first === undefined) break;
    for (const address of [first, second].map(addressOf)) {
      if (address === undefined) continue;
      const family = address.includes(":") ? "ipv6" : "ipv4";
      const name = role === "public" || role === "private" ? (`${role}_${family}` as const) : nameOf(address);
      if (name !== undefined) kept[name] ??= address;
    }
  }
  return addressesOf(kept);
}
