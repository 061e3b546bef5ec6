// Amazon EC2's metadata service (IMDSv2, IMDSv1 where there are no tokens), and the clouds that speak like it.
import { addressesOf, firstOfEachKind, hostnameOf, instanceIdOf, keysOf } from "./facts.ts";
import { type Identity, notOf } from "./identity.ts";
import type { MetadataHttp } from "./metadata-http.ts";
import { serviceAt, type Service, usualAddress } from "./service.ts";
import { absent, found, type Source, unfit } from "./source.ts";

const addresses = [usualAddress, "http://[fd00:ec2::254]"];
/** A token is asked for once and used for the few seconds that reading takes. */
const tokenSeconds = 300;
const tokenHeader = "X-aws-ec2-metadata-token";
/** `latest` is what Amazon says to use; some lookalikes know only the first version. */
const versions = ["latest", "2009-04-04"];
/** Keys that are asked for, one request each. */
const maxKeys = 16;

export const ec2: Source = {
  name: "ec2",
  async ask({ http, identity, isInsisted }) {
    if (!isInsisted && !isEc2(identity)) return absent(notOf(identity, "Amazon EC2"));
    const { base, headers } = await open(http);
    for (const version of versions) {
      const service = serviceAt(http, { base: `${base}/${version}/`, headers });
      const first = await http.ask({ url: `${base}/${version}/meta-data/instance-id`, headers });
      if (first.kind === "refused" && version !== versions.at(-1)) continue;
      if (first.kind === "refused") return absent(first.why);
      const instanceId = instanceIdOf(first.body.toString("utf8"));
      if (instanceId === undefined) throw unfit(`Cannot use what ${base} answers: it is no instance id`);
      const userData = await service.userData("user-data");
      return found("ec2", {
        where: `${base}/${version}/`,
        userData,
        metadata: await readMetadata(service, instanceId),
      });
    }
    return absent(`${base} knows no version of the metadata`);
  },
};

/** Marks that Amazon names ("Identify EC2 Linux instances"), and those of the clouds that offer the same service. */
function isEc2({ vendor, product, serial, uuid, assetTag }: Identity): boolean {
  // in some firmware the first three parts of the id are in the other byte order: 45e12aec is ec2ae145 then
  const isAmazons = vendor === "Amazon EC2" || /^ec2|^[0-9a-f]{4}2[0-9a-f]ec-/.test(uuid);
  const isLookalike =
    serial.endsWith(".brightbox.com") ||
    assetTag.endsWith(".zstack.io") ||
    ["e24cloud", "Tilaa"].includes(vendor) ||
    (vendor === "3DS Outscale" && product === "3DS Outscale VM");
  return isAmazons || isLookalike;
}

interface Open {
  readonly base: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The address that answers, and the token it gave. Only a service that knows no tokens is asked without one. */
async function open(http: MetadataHttp): Promise<Open> {
  const path = "/latest/api/token";
  const answer = await http.ask({
    url: addresses.map((address) => address + path),
    method: "PUT",
    headers: { [`${tokenHeader}-ttl-seconds`]: String(tokenSeconds), "content-length": "0" },
    absentStatuses: [501],
  });
  const base = answer.url.slice(0, -path.length);
  if (answer.kind === "refused") {
    if ([403, 404, 405, 501].includes(answer.status)) return { base, headers: {} };
    throw unfit(`Cannot get a token from ${base}: it answered ${answer.status}`);
  }
  const token = answer.body.toString("latin1").trim();
  if (!/^[\x21-\x7e]{1,1024}$/.test(token)) throw unfit(`Cannot use what ${base} answers: it is no token`);
  return { base, headers: { [tokenHeader]: token } };
}

async function readMetadata(service: Service, instanceId: string) {
  const text = (path: string): Promise<string | undefined> => service.text(`meta-data/${path}`);
  const [hostname, local, external, ipv6, keyList = ""] = await Promise.all(
    ["hostname", "local-ipv4", "public-ipv4", "ipv6", "public-keys/"].map(text),
  );
  const positions = Array.from(keyList.matchAll(/^(\d+)=/gm), ([, position = ""]) => position).slice(0, maxKeys);
  const keys = await Promise.all(positions.map((position) => text(`public-keys/${position}/openssh-key`)));
  return {
    instanceId,
    hostname: hostnameOf(hostname),
    sshKeys: keysOf(...keys),
    addresses: { ...firstOfEachKind([ipv6]), ...addressesOf({ private_ipv4: local, public_ipv4: external }) },
  };
}
