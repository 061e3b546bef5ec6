// Azure: the provisioning document that comes with a machine (custom data), and the metadata service (user data, addresses).
import { join } from "node:path";
import { Problem } from "../../domain/problem.ts";
import {
  addressesOf,
  firstOfEachKind,
  fromBase64,
  hostnameOf,
  instanceIdOf,
  keysOf,
  listOf,
  parseJson,
  pick,
  textOf,
} from "./facts.ts";
import { readWhole } from "./files.ts";
import { notOf } from "./identity.ts";
import { usualAddress } from "./service.ts";
import {
  absent,
  type Answer,
  type Asking,
  found,
  maxMetadataBytes,
  maxUserDataBytes,
  noMetadata,
  noUserData,
  type Source,
  unfit,
} from "./source.ts";
import { elements, elementText, readXml } from "./xml.ts";

/** What Azure writes into the firmware of every machine. */
const azureTag = "7783-7084-3265-9085-8269-3286-77";
/** Where Azure's agent, or the image's builder, leaves the document; and the drive that it comes on. */
const keptFile = "var/lib/waagent/ovf-env.xml";
const drive = "dev/sr0";
const documentName = "ovf-env.xml";
/** Base64, and what stands around it. */
const documentBytes = 2 * maxUserDataBytes;

const url = `${usualAddress}/metadata/instance?api-version=2021-08-01&format=json`;
/** While a machine is being set up the service has these, and a true answer a moment later. */
const notReady = [404, 410];

export const azure: Source = {
  name: "azure",
  async ask(asking) {
    const { root, identity, isInsisted } = asking;
    // An image that was captured there has the document of another machine: it is of no account elsewhere, nor before the drive
    if (!isInsisted && identity.assetTag !== azureTag) return absent(notOf(identity, "Azure"));
    const brought = await readDrive(asking);
    const body = brought ?? (await readWhole(join(root, keptFile), { mostBytes: documentBytes }));
    const where = brought === undefined ? `/${keptFile}` : `/${drive}`;
    return askService(body === undefined ? undefined : { where, ...readDocument(body, where) }, asking);
  },
};

interface Document {
  readonly customData: Uint8Array;
  readonly hostname: string | undefined;
  readonly sshKeys: readonly string[];
}
type Given = (Document & { readonly where: string }) | undefined;

/** The drive may be gone, or hold something else: the service is asked in any case. */
async function readDrive({ root, volumes, identity }: Asking): Promise<Buffer | undefined> {
  if (identity.isContainer) return undefined;
  try {
    return (await volumes.read(join(root, drive), [documentName])).get(documentName);
  } catch (error) {
    if (error instanceof Problem) return undefined;
    throw error;
  }
}

/** `CustomData` and the names beside it. Its password is none of ours. */
function readDocument(body: Uint8Array, where: string): Document {
  const section = pick(readXml(body, where), "Environment", "ProvisioningSection");
  const set = pick(section, "LinuxProvisioningConfigurationSet");
  if (set === undefined) throw unfit(`Cannot use ${where}: it has no LinuxProvisioningConfigurationSet`);
  const packed = elementText(pick(set, "CustomData"));
  const customData = packed === undefined ? noUserData : fromBase64(packed);
  if (customData === undefined) throw unfit(`Cannot use ${where}: its CustomData is not base64`);
  return {
    customData,
    hostname: hostnameOf(elementText(pick(set, "HostName"))),
    sshKeys: keysOf(
      ...elements(pick(set, "SSH", "PublicKeys", "PublicKey")).map((key) => elementText(pick(key, "Value"))),
    ),
  };
}

function foundDocument(given: Given): Answer {
  if (given === undefined) return absent(`no /${keptFile}`);
  const { where, customData, hostname, sshKeys } = given;
  return found("azure", { where, userData: customData, metadata: { ...noMetadata, hostname, sshKeys } });
}

async function askService(given: Given, { http }: Asking): Promise<Answer> {
  let answer;
  try {
    const most = 2 * maxUserDataBytes + maxMetadataBytes;
    answer = await http.ask({ url, headers: { Metadata: "true" }, mostBytes: most, laterStatuses: notReady });
  } catch (error) {
    // what came with the machine is better than nothing
    if (given !== undefined && error instanceof Problem && error.code === "source-later") return foundDocument(given);
    throw error;
  }
  if (answer.kind === "refused") return given === undefined ? absent(answer.why) : foundDocument(given);
  return use(parseJson(answer.body, url), given);
}

function use(instance: unknown, given: Given): Answer {
  const compute = pick(instance, "compute");
  const instanceId = instanceIdOf(pick(compute, "vmId"));
  if (instanceId === undefined)
    throw unfit(`Cannot use what ${usualAddress}/metadata/instance answers: it has no vmId`);
  const hasCustomData = given !== undefined && given.customData.length > 0;
  return found("azure", {
    where: hasCustomData ? given.where : `${usualAddress}/metadata/instance`,
    userData: hasCustomData ? given.customData : readUserData(compute),
    metadata: {
      instanceId,
      hostname:
        given?.hostname ?? hostnameOf(pick(compute, "osProfile", "computerName")) ?? hostnameOf(pick(compute, "name")),
      sshKeys: keysOf(
        ...(given?.sshKeys ?? []),
        ...listOf(pick(compute, "publicKeys")).map((key) => pick(key, "keyData")),
      ),
      addresses: readAddresses(instance),
    },
  });
}

function readUserData(compute: unknown): Uint8Array {
  const packed = textOf(pick(compute, "userData"));
  if (packed === undefined) return noUserData;
  const userData = fromBase64(packed);
  if (userData === undefined) throw unfit("Cannot use the userData of Azure's metadata: it is not base64");
  return userData;
}

function readAddresses(instance: unknown) {
  const first = pick(instance, "network", "interface", 0);
  const own = (family: string, name: string): unknown => pick(first, family, "ipAddress", 0, name);
  return {
    ...firstOfEachKind([own("ipv6", "publicIpAddress"), own("ipv6", "privateIpAddress")]),
    ...addressesOf({
      private_ipv4: own("ipv4", "privateIpAddress"),
      public_ipv4: own("ipv4", "publicIpAddress"),
    }),
  };
}
