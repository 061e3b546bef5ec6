// git's tree objects, read from their bytes. Given to store.ts. The git library's own reader refuses names with a backslash,
// which systemd's escaped names have (mnt-my\x2ddata.mount).

export interface TreeItem {
  readonly name: string;
  readonly kind: "tree" | "file" | "link" | "submodule";
  readonly oid: string;
}

const idBytes = 20;

/** `<mode> <name>\0<20 bytes of id>`, again and again. Throws for what git itself would never write. */
export function parseTree(bytes: Buffer): readonly TreeItem[] {
  const items: TreeItem[] = [];
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const end = bytes.indexOf(0, space);
    if (space < 0 || end < 0 || end + 1 + idBytes > bytes.length) throw new Error("A tree object is cut short");
    const name = bytes.toString("utf8", space + 1, end);
    if (name === "" || name === "." || name === ".." || name.includes("/"))
      throw new Error(`A tree object has an entry named "${name}"`);
    items.push({
      name,
      kind: kindOf(bytes.toString("latin1", at, space)),
      oid: bytes.toString("hex", end + 1, end + 1 + idBytes),
    });
    at = end + 1 + idBytes;
  }
  return items;
}

function kindOf(mode: string): TreeItem["kind"] {
  switch (mode) {
    case "40000":
    case "040000":
      return "tree";
    case "120000":
      return "link";
    case "160000":
      return "submodule";
    default:
      if (/^100[0-7]{3}$/.test(mode)) return "file";
      throw new Error(`A tree object has an entry of mode ${mode}`);
  }
}
