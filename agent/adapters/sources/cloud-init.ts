// What cloud-init found, where it runs beside us: its own instance folder. It has then asked the provider already.
import { join } from "node:path";
import { addressesOf, firstOfEachKind, hostnameOf, instanceIdOf, keysOf, parseJson, pick } from "./facts.ts";
import { readWhole } from "./files.ts";
import { absent, found, later, maxUserDataBytes, type Source } from "./source.ts";

const userDataFile = "var/lib/cloud/instance/user-data.txt";
const dataFile = "run/cloud-init/instance-data.json";
/** Whole metadata of a machine with many interfaces. */
const maxDataBytes = 1024 * 1024;

export const cloudInit: Source = {
  name: "cloud-init",
  async ask({ root, identity, isInsisted }) {
    if (identity.words.includes("cloud-init=disabled"))
      return absent("the kernel command line says cloud-init=disabled");
    const mark = async (name: string): Promise<boolean> =>
      (await readWhole(join(root, "run/cloud-init", name), { mostBytes: maxDataBytes })) !== undefined;
    if (await mark("disabled")) return absent("cloud-init is switched off on this machine");
    // what stands in /run is of this boot; the folder alone may be of the machine that an image was made from
    const data = await readWhole(join(root, dataFile), { mostBytes: maxDataBytes });
    // written when its last stage is over, however it went
    const isOver = await mark("result.json");
    if (data === undefined && isOver) return absent("cloud-init has ended without finding anything");
    if (data === undefined)
      return isInsisted || (await mark("enabled"))
        ? later("cloud-init has found nothing yet")
        : absent("cloud-init does not run on this machine");
    const instance = parseJson(data, `/${dataFile}`);
    if (pick(instance, "v1", "platform") === "none" || pick(instance, "v1", "cloud_id") === "none")
      return absent("cloud-init found no source either");
    const userData = await readWhole(join(root, userDataFile), { mostBytes: maxUserDataBytes });
    if (userData === undefined && isOver) return absent(`cloud-init has ended without writing /${userDataFile}`);
    if (userData === undefined) return later(`cloud-init has not written /${userDataFile} yet`);
    const meta = (name: string): unknown => pick(instance, "ds", "meta_data", name);
    return found("cloud-init", {
      where: `/${userDataFile}`,
      userData,
      metadata: {
        instanceId: instanceIdOf(pick(instance, "v1", "instance_id")),
        hostname: hostnameOf(pick(instance, "v1", "local_hostname")),
        sshKeys: keysOf(pick(instance, "v1", "public_ssh_keys")),
        addresses: {
          ...firstOfEachKind([meta("ipv6")]),
          ...addressesOf({ private_ipv4: meta("local-ipv4"), public_ipv4: meta("public-ipv4") }),
        },
      },
    });
  },
};
