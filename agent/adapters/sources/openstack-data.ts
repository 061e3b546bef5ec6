// OpenStack's description of a machine, the same on a config drive and from the metadata service.
import type { AddressName, InstanceMetadata } from "../../domain/user-data.ts";
import { firstOfEachKind, hostnameOf, instanceIdOf, keysOf, listOf, parseJson, pick } from "./facts.ts";
import { unfit } from "./source.ts";

export interface OpenStackData {
  /** meta_data.json. */
  readonly metaData: Uint8Array;
  /** network_data.json. */
  readonly networkData: Uint8Array | undefined;
  /** What the part for EC2's clients says, which knows what is reached from where. */
  readonly addresses: Readonly<Partial<Record<AddressName, string>>>;
  readonly where: string;
}

export function readOpenStack({ metaData, networkData, addresses, where }: OpenStackData): InstanceMetadata {
  const meta = parseJson(metaData, `${where}meta_data.json`);
  const instanceId = instanceIdOf(pick(meta, "uuid"));
  if (instanceId === undefined) throw unfit(`Cannot use ${where}meta_data.json: it has no uuid`);
  const network = networkData === undefined ? undefined : parseJson(networkData, `${where}network_data.json`);
  const own = listOf(pick(network, "networks")).map((each) => pick(each, "ip_address"));
  const keys = pick(meta, "public_keys");
  return {
    instanceId,
    hostname: hostnameOf(pick(meta, "hostname")) ?? hostnameOf(pick(meta, "name")),
    sshKeys: keysOf(typeof keys === "object" && keys !== null ? Object.values(keys) : undefined),
    addresses: { ...firstOfEachKind(own), ...addresses },
  };
}
