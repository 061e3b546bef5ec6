// OpenStack's config drive: a volume labelled config-2 that carries what the metadata service would say.
import { join } from "node:path";
import { addressesOf, parseJson, pick } from "./facts.ts";
import { readFolder } from "./files.ts";
import { readOpenStack } from "./openstack-data.ts";
import { absent, type Answer, found, later, maxUserDataBytes, noUserData, type Source, unfit } from "./source.ts";

const label = "config-2";
/** Where an image's builder or cloud-init's users put a copy of such a volume. */
const seed = "var/lib/cloud/seed/config_drive";

const metaData = "openstack/latest/meta_data.json";
const userData = "openstack/latest/user_data";
const networkData = "openstack/latest/network_data.json";
const ec2Data = "ec2/latest/meta-data.json";
const names = [metaData, userData, networkData, ec2Data];

export const configDrive: Source = {
  name: "config-drive",
  async ask({ root, identity, volumes, isInsisted }) {
    const folder = await readFolder(join(root, seed), { names, mostBytes: maxUserDataBytes });
    if (folder.size > 0) return use(folder, `/${seed}`);
    if (identity.isContainer) return absent("this is a container, which has no volumes of its own");
    const device = await volumes.find([label]);
    if (device !== undefined) return use(await volumes.read(device, names), device);
    const why = `no volume labelled ${label}`;
    return isInsisted || identity.areDevicesComing ? later(`${why} yet`) : absent(why);
  },
};

function use(files: ReadonlyMap<string, Buffer>, where: string): Answer {
  const meta = files.get(metaData);
  if (meta === undefined) throw unfit(`Cannot use the config drive ${where}: it has no ${metaData}`);
  const old = files.get(ec2Data);
  const ec2 = old === undefined ? undefined : parseJson(old, `${where}/${ec2Data}`);
  const addresses = addressesOf({ private_ipv4: pick(ec2, "local-ipv4"), public_ipv4: pick(ec2, "public-ipv4") });
  return found("config-drive", {
    where,
    userData: files.get(userData) ?? noUserData,
    metadata: readOpenStack({
      metaData: meta,
      networkData: files.get(networkData),
      addresses,
      where: `${where}/openstack/latest/`,
    }),
  });
}
