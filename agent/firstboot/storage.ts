// Mounts and swap: lines of our own in /etc/fstab, and what makes them so now.
import { blockName } from "./names.ts";
import { type Draft, type Given, base, tell } from "./draft.ts";

export function planStorage({ config }: Given, draft: Draft): void {
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
  for (const { device, mountPoint, type, options, dump, pass } of mounts)
    lines.push([device, mountPoint, type, options, dump, pass].map((field) => fstabField(field)).join(" "));
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
    { ...base("reload for mounts", { stage: "early" }), onlyAfter: [id], kind: "reload" },
  );
  for (const { mountPoint, at } of mounts)
    if (mountPoint.startsWith("/"))
      draft.steps.push({
        ...base(`mount ${mountPoint}`, { stage: "early", at }),
        kind: "mount",
        mountPoint,
      });
}

/** fstab(5): a blank within a field is written in octal, as the document may have done already. */
function fstabField(field: string): string {
  return field.replace(/\s/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`);
}
