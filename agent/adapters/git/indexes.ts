// Which objects the packs of a store hold, read from their .idx files (gitformat-pack(5), version 2). Given to store.ts,
// which checks with it that every blob of a commit has really come; the git library leaves out silently what it could not
// resolve, and has no cheap question for it.
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";

const headerBytes = 8;
const fanoutBytes = 256 * 4;
const idBytes = 20;

/** One pack's names, in order. */
class PackIndex {
  readonly #bytes: Buffer;
  readonly pack: string;

  constructor(bytes: Buffer, pack: string) {
    const count = bytes.length < headerBytes + fanoutBytes ? -1 : bytes.readUInt32BE(headerBytes + fanoutBytes - 4);
    const least = headerBytes + fanoutBytes + count * (idBytes + 4 + 4) + 2 * idBytes;
    if (count < 0 || bytes.readUInt32BE(0) !== 0xff744f63 || bytes.readUInt32BE(4) !== 2 || bytes.length < least)
      throw new Error(`The index of ${pack} is damaged`);
    this.#bytes = bytes;
    this.pack = pack;
  }

  has(id: Buffer): boolean {
    const first = id[0] ?? 0;
    let low = first === 0 ? 0 : this.#fanout(first - 1);
    let high = this.#fanout(first);
    while (low < high) {
      const middle = (low + high) >>> 1;
      const start = headerBytes + fanoutBytes + middle * idBytes;
      const order = id.compare(this.#bytes, start, start + idBytes);
      if (order === 0) return true;
      if (order < 0) high = middle;
      else low = middle + 1;
    }
    return false;
  }

  #fanout(byte: number): number {
    return this.#bytes.readUInt32BE(headerBytes + byte * 4);
  }
}

/** Throws when it is no index: the git library would read as many names as it says that there are. */
export function checkIndex(bytes: Buffer, pack: string): Buffer {
  new PackIndex(bytes, pack);
  return bytes;
}

/** `find` names the pack that holds an object; undefined when none does. Throws when an index is damaged or has no pack. */
export async function readIndexes(gitdir: string): Promise<{ find(oid: string): string | undefined }> {
  const folder = join(gitdir, "objects/pack");
  const names = await readdir(folder);
  const indexes: PackIndex[] = [];
  for (const name of names.filter((each) => each.endsWith(".idx")).sort()) {
    const pack = name.replace(/\.idx$/, ".pack");
    if (!names.includes(pack)) throw new Error(`The pack ${pack} is missing`);
    indexes.push(new PackIndex(await readFile(join(folder, name)), pack));
  }
  return {
    find(oid) {
      const id = Buffer.from(oid, "hex");
      return indexes.find((index) => index.has(id))?.pack;
    },
  };
}
