// Hetzner Cloud's metadata service.
import { addressesOf, firstOfEachKind, fromBase64, hostnameOf, instanceIdOf, keysOf, listOf, pick } from "./facts.ts";
import { notOf } from "./identity.ts";
import { serviceAt, usualAddresses } from "./service.ts";
import { absent, found, type Source, unfit } from "./source.ts";
import { readYaml } from "./yaml-values.ts";

const path = "/hetzner/v1/";

export const hetzner: Source = {
  name: "hetzner",
  async ask({ http, identity, isInsisted }) {
    if (!isInsisted && identity.vendor !== "Hetzner") return absent(notOf(identity, "Hetzner"));
    const first = await http.ask({ url: usualAddresses().map((address) => `${address}${path}metadata`) });
    if (first.kind === "refused") return absent(first.why);
    const base = first.url.slice(0, -"metadata".length);
    const meta = readYaml(first.body, first.url);
    const instanceId = instanceIdOf(pick(meta, "instance-id"));
    if (instanceId === undefined) throw unfit(`Cannot use what ${first.url} answers: it has no instance-id`);
    if (identity.serial !== "" && identity.serial !== instanceId)
      throw unfit(`Cannot use what ${first.url} answers: instance ${instanceId} is not this machine`);
    const service = serviceAt(http, { base });
    const [userData, networks] = await Promise.all([
      service.userData("userdata"),
      service.bytes("metadata/private-networks"),
    ]);
    const privateNetworks = networks === undefined ? undefined : readYaml(networks, `${base}metadata/private-networks`);
    return found("hetzner", {
      where: base,
      // the service takes text only: what is not text is handed over as base64
      userData: fromBase64(Buffer.from(userData).toString("latin1")) ?? userData,
      metadata: {
        instanceId,
        hostname: hostnameOf(pick(meta, "hostname")),
        sshKeys: keysOf(pick(meta, "public-keys")),
        addresses: {
          ...firstOfEachKind(configured(pick(meta, "network-config"))),
          ...addressesOf({
            private_ipv4: pick(privateNetworks, 0, "ip"),
            public_ipv4: pick(meta, "public-ipv4"),
          }),
        },
      },
    });
  },
};

/** Addresses that the network configuration (version 1) gives to interfaces. */
function configured(network: unknown): readonly unknown[] {
  return listOf(pick(network, "config"))
    .flatMap((each) => listOf(pick(each, "subnets")))
    .map((subnet) => pick(subnet, "address"));
}
