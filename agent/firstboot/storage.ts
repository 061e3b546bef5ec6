// Mounts and swap: lines of our own in /etc/fstab, and what makes them so now. No disk that is missing may keep the machine
// from booting.
import type { Step } from "../domain/first-boot.ts";
import type { MountEntry } from "../domain/user-data.ts";
import { planHomesAgain } from "./accounts.ts";
import { blockName } from "./names.ts";
import { type Draft, type Given, base, tell } from "./draft.ts";

/** Where the disk of a mount has to be; undefined: it is none, or has a name that udev writes in another way. */
export function devicePath({ device }: MountEntry): string | undefined {
  const [, kind = "", name = ""] = /^(LABEL|UUID|PARTLABEL|PARTUUID)=([\w.-]+)$/.exec(device) ?? [];
  if (kind !== "") return `/dev/disk/by-${kind.toLowerCase()}/${name}`;
  return /^\/dev\/[^\\\s]+$/.test(device) ? device : undefined;
}

/** With these a file system is not waited for at boot, or by its own rules. */
const bearable = /^(nofail|noauto|_netdev|x-systemd\.automount|x-initrd\.mount)$/;

/** Without nofail a machine whose disk is missing comes up in emergency mode, where nobody can log in. */
function withNofail({ mountPoint, options, at }: MountEntry, draft: Draft): string {
  const words = options.split(",");
  if (mountPoint === "/" || words.some((word) => bearable.test(word))) return options;
  tell(draft, "info", {
    code: "boot-mount-nofail",
    message: `Adding nofail to the mount on ${mountPoint}: a boot would stop for good where its disk is missing`,
    hint: "A unit that needs it says so itself: RequiresMountsFor=; write nofail to say that it is meant",
    at,
  });
  return [...words.filter((word) => word !== ""), "nofail"].join(",");
}

function tellMissing(mount: MountEntry, { config, facts }: Given, draft: Draft): void {
  const path = devicePath(mount);
  // What bootcmd runs may make it
  if (path === undefined || facts.paths.has(path) || config.bootCommands.length > 0) return;
  tell(draft, "warning", {
    code: "boot-mount-device",
    message: `Cannot find the disk ${mount.device}, which is to be mounted on ${mount.mountPoint}`,
    hint: "Attach it, or correct its name: lsblk -f shows those that are here",
    at: mount.at,
  });
}

export function planStorage(given: Given, draft: Draft): void {
  const { config } = given;
  const lines: string[] = [];
  const mounts = config.mounts.filter(({ device, at }) => {
    if (!/^(ephemeral|swap$|root$)/.test(device)) return true;
    tell(draft, "warning", {
      code: "boot-mount",
      message: `Leaving out the mount of "${device}": this name says which disk only to some providers`,
      hint: "Name the disk by /dev/..., LABEL= or UUID=",
      at,
    });
    return false;
  });
  for (const mount of mounts) {
    const { device, mountPoint, type, dump, pass } = mount;
    tellMissing(mount, given, draft);
    const options = withNofail(mount, draft);
    lines.push([device, mountPoint, type, options, dump, pass].map((field) => fstabField(field)).join(" "));
  }
  const swap = config.swap;
  if (swap !== undefined) {
    const { file, sizeBytes, maxSizeBytes } = swap.value;
    draft.steps.push({
      ...base("swap", { stage: "early", at: swap.at }),
      kind: "swap",
      file,
      sizeBytes,
      maxSizeBytes,
    });
    lines.push(`${fstabField(file)} none swap sw,nofail 0 0`);
  }
  if (lines.length === 0) return;
  const id = "block /etc/fstab";
  draft.steps.push(
    {
      ...base(id, { stage: "early", at: mounts[0]?.at ?? swap?.at }),
      kind: "block",
      path: "/etc/fstab",
      name: blockName,
      lines,
    },
    mountsReload([id]),
  );
  for (const { mountPoint, at } of mounts)
    if (mountPoint.startsWith("/"))
      draft.steps.push({
        ...base(`mount ${mountPoint}`, { stage: "early", at }),
        kind: "mount",
        mountPoint,
      });
  const points = mounts.map(({ mountPoint }) => mountPoint.replace(/\/+$/, ""));
  planHomesAgain(
    points.filter((point) => point.startsWith("/")), // without "/", which is mounted long since
    draft,
  );
}

/** systemd makes units of the lines. */
export function mountsReload(after: readonly string[]): Step {
  return { ...base("reload for mounts", { stage: "early" }), onlyAfter: after, kind: "reload" };
}

/** fstab(5): a blank within a field is written in octal, as the document may have done already. */
function fstabField(field: string): string {
  return field.replace(/\s/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`);
}
