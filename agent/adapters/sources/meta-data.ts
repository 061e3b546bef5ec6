// cloud-init's meta-data document, as NoCloud and VMware carry it.
import type { InstanceMetadata } from "../../domain/user-data.ts";
import { addressesOf, hostnameOf, instanceIdOf, keysOf, pick } from "./facts.ts";
import { noMetadata } from "./source.ts";
import { readYaml } from "./yaml-values.ts";

/** YAML or JSON; nothing at all is no metadata. */
export function readMetaData(body: Uint8Array | undefined, where: string): InstanceMetadata {
  if (body === undefined || body.length === 0) return noMetadata;
  const meta = readYaml(body, where);
  const either = (...names: readonly string[]): unknown =>
    names.map((name) => pick(meta, name)).find((value) => value !== undefined);
  const keys = either("public-keys", "public_keys", "public-keys-data");
  return {
    instanceId: instanceIdOf(either("instance-id", "instance_id")),
    hostname: hostnameOf(either("local-hostname", "local_hostname", "hostname")),
    sshKeys: keysOf(typeof keys === "object" && keys !== null ? Object.values(keys) : keys),
    addresses: addressesOf({
      private_ipv4: either("local-ipv4", "local_ipv4"),
      public_ipv4: either("public-ipv4", "public_ipv4"),
      private_ipv6: either("local-ipv6", "local_ipv6"),
      public_ipv6: either("public-ipv6", "public_ipv6"),
    }),
  };
}
