// Google Compute Engine's metadata server. It signs every answer with a header, and asks for the same in every question.
import {
  addressesOf,
  addressOf,
  firstOfEachKind,
  fromBase64,
  hostnameOf,
  instanceIdOf,
  listOf,
  parseJson,
  pick,
} from "./facts.ts";
import { type Identity, notOf } from "./identity.ts";
import type { MetadataHttp } from "./metadata-http.ts";
import { usualAddress } from "./service.ts";
import { absent, found, maxUserDataBytes, noUserData, type Source, unfit } from "./source.ts";

/** The server's own name leads to the usual address; without it no name server has to be up. */
const base = `${usualAddress}/computeMetadata/v1/instance/`;
const flavor = "Metadata-Flavor";

export const gce: Source = {
  name: "gce",
  async ask({ http, identity, isInsisted }) {
    if (!isInsisted && !isGoogle(identity)) return absent(notOf(identity, "Google Compute Engine"));
    const id = await ask(http, "id");
    if (id === undefined) return absent(`${base}id answered that there is no such value`);
    const instanceId = instanceIdOf(id.toString("utf8"));
    if (instanceId === undefined) throw unfit(`Cannot use what ${base} answers: it is no instance id`);
    const [userData, encoding, hostname, interfaces] = await Promise.all([
      ask(http, "attributes/user-data", maxUserDataBytes),
      ask(http, "attributes/user-data-encoding"),
      ask(http, "hostname"),
      ask(http, "network-interfaces/?recursive=true"),
    ]);
    return found("gce", {
      where: base,
      userData: decode(userData, encoding?.toString("utf8").trim()),
      metadata: {
        instanceId,
        hostname: hostnameOf(hostname?.toString("utf8")),
        // Google's own agent puts the keys of a project and of an instance into accounts of their own
        sshKeys: [],
        addresses: readAddresses(interfaces),
      },
    });
  },
};

function isGoogle({ product, serial }: Identity): boolean {
  return ["Google Compute Engine", "Google"].includes(product) || serial.startsWith("GoogleCloud-");
}

async function ask(http: MetadataHttp, path: string, mostBytes?: number): Promise<Buffer | undefined> {
  const headers = { [flavor]: "Google" };
  const answer = await http.ask({ url: base + path, headers, ...(mostBytes === undefined ? {} : { mostBytes }) });
  if (answer.kind === "refused") return undefined;
  if (answer.headers[flavor.toLowerCase()] !== "Google")
    throw unfit(`Cannot use what ${base} answers: without ${flavor}: Google it is another's`);
  return answer.body;
}

function decode(userData: Buffer | undefined, encoding: string | undefined): Uint8Array {
  if (userData === undefined) return noUserData;
  if (encoding !== "base64") return userData;
  const bytes = fromBase64(userData.toString("latin1"));
  if (bytes === undefined) throw unfit("Cannot decode the user-data: user-data-encoding says base64, and it is none");
  return bytes;
}

/** Of the first interface: its own address, and the one that it is reached by from outside. */
function readAddresses(body: Buffer | undefined) {
  if (body === undefined) return {};
  const [first] = listOf(parseJson(body, `${base}network-interfaces/`));
  const external6 = listOf(pick(first, "ipv6AccessConfigs")).map((access) => pick(access, "externalIpv6"));
  return {
    ...firstOfEachKind([...external6, ...listOf(pick(first, "ipv6s")), pick(first, "ipv6")].filter(addressOf)),
    ...addressesOf({
      private_ipv4: pick(first, "ip"),
      public_ipv4: pick(first, "accessConfigs", 0, "externalIp"),
    }),
  };
}
