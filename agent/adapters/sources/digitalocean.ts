// DigitalOcean's metadata service: one JSON document that says everything.
import { addressesOf, hostnameOf, instanceIdOf, keysOf, parseJson, pick } from "./facts.ts";
import { notOf } from "./identity.ts";
import { usualAddress } from "./service.ts";
import { absent, found, maxMetadataBytes, maxUserDataBytes, type Source, unfit } from "./source.ts";

const url = `${usualAddress}/metadata/v1.json`;

export const digitalocean: Source = {
  name: "digitalocean",
  async ask({ http, identity, isInsisted }) {
    if (!isInsisted && identity.vendor !== "DigitalOcean") return absent(notOf(identity, "DigitalOcean"));
    // user-data is a part of it, and JSON may double its length
    const answer = await http.ask({ url, mostBytes: 2 * maxUserDataBytes + maxMetadataBytes });
    if (answer.kind === "refused") return absent(answer.why);
    const whole = parseJson(answer.body, url);
    const droplet = Array.isArray(whole) ? pick(whole, 0) : whole;
    const instanceId = instanceIdOf(pick(droplet, "droplet_id"));
    if (instanceId === undefined) throw unfit(`Cannot use what ${url} answers: it has no droplet_id`);
    const userData = pick(droplet, "user_data");
    const address = (place: string, family: string): unknown =>
      pick(droplet, "interfaces", place, 0, family, "ip_address");
    return found("digitalocean", {
      where: url,
      userData: Buffer.from(typeof userData === "string" ? userData : ""),
      metadata: {
        instanceId,
        hostname: hostnameOf(pick(droplet, "hostname")),
        sshKeys: keysOf(pick(droplet, "public_keys")),
        addresses: addressesOf({
          private_ipv4: address("private", "ipv4"),
          public_ipv4: address("public", "ipv4"),
          private_ipv6: address("private", "ipv6"),
          public_ipv6: address("public", "ipv6"),
        }),
      },
    });
  },
};
