// flotilla's own unit files on this machine, and the links by which systemd finds them. Given to systemd.ts.
// What lies here is the only record of what was placed; a link that leads elsewhere is the host's and is never touched.
import { lstat, mkdir, readFile, readdir, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { PlacedUnit } from "../../domain/action.ts";
import { type UnitHash, type UnitName, byName, parseUnitName } from "../../domain/names.ts";
import { Problem } from "../../domain/problem.ts";
import type { DropIn, Unit } from "../../domain/unit.ts";
import type { Log } from "../../ports/log.ts";
import { unitHash } from "../../text/hash.ts";
import { concatenate, listValue, parseUnitFile } from "../../text/unit-file.ts";

/** systemd applies drop-ins by file name; three digits before each name keep them in our order. */
const mostDropIns = 1_000;
/** How many units are read or written side by side. */
const fileConcurrency = 16;
const dropInFolder = ".d";

export interface UnitFilesOptions {
  /** systemd's runtime unit folder. */
  readonly unitDirectory: string;
  /** flotilla's own, gone at reboot. */
  readonly runDirectory: string;
  readonly log: Log;
}

/** A unit as it lies here. */
export interface LyingUnit extends PlacedUnit {
  readonly install: Install;
}

/** What an [Install] section asks for. */
export interface Install {
  readonly present: boolean;
  /** Alias= and Also=, as written, in order: the other names that enabling would touch. */
  readonly others: readonly string[];
}

interface Remembered {
  readonly signature: string;
  readonly hash: UnitHash;
  readonly install: Install;
}

export class UnitFiles {
  readonly #units: string;
  readonly #launched: string;
  readonly #enabled: string;
  readonly #temporary: string;
  readonly #reloadMark: string;
  readonly #links: string;
  readonly #log: Log;
  readonly #remembered = new Map<UnitName, Remembered>();
  #made: Promise<void> | undefined;
  #temporaries = 0;

  constructor(options: UnitFilesOptions) {
    this.#units = join(options.runDirectory, "units");
    this.#launched = join(options.runDirectory, "launched");
    this.#enabled = join(options.runDirectory, "enabled");
    this.#temporary = join(options.runDirectory, "unfinished");
    this.#reloadMark = join(options.runDirectory, "reload-due");
    this.#links = options.unitDirectory;
    this.#log = options.log;
  }

  /**
   * Every unit of ours, in name order. A file whose link is missing gets it back (a crash came between the two); one
   * whose place the host has taken since is left out; a link of ours without a file is taken away.
   */
  async placed(): Promise<readonly LyingUnit[]> {
    return reading("the placed units", async () => {
      await this.#folders();
      const present = new Set<UnitName>();
      for (const entry of await readdir(this.#units, { withFileTypes: true })) {
        const name = entry.isFile() ? parseUnitName(entry.name) : undefined;
        if (name?.ok === true) present.add(name.value);
      }
      await this.#dropDangling(present);
      const lying = await eachOf([...present].sort(byName), async (name) => {
        if (!(await this.#link(name))) {
          this.#log.warn("unit.place-taken", { unit: name });
          return undefined;
        }
        return this.#lying(name);
      });
      for (const name of this.#remembered.keys()) if (!present.has(name)) this.#remembered.delete(name);
      return lying.filter((unit) => unit !== undefined);
    });
  }

  /** Files first, links last, so that a link always leads to a whole unit. Rejects with "unit-foreign" or "disk-write". */
  async write(unit: Unit): Promise<void> {
    if (unit.dropIns.length > mostDropIns) {
      throw new Problem("disk-write", `Cannot write unit "${unit.name}"`, {
        hint: `It has over ${mostDropIns} drop-ins`,
      });
    }
    await writing(`unit "${unit.name}"`, async () => {
      await this.#folders();
      const place = await this.placeOf(unit.name);
      if (place.kind === "host") throw foreignProblem(unit.name, place.path);
      this.#remembered.delete(unit.name);
      await this.#writeDropIns(unit);
      await this.#put(this.#file(unit.name), unit.text);
      if (!(await this.#link(unit.name))) throw foreignProblem(unit.name, join(this.#links, unit.name));
    });
  }

  /** Links first, so that a crash in the middle leaves nothing that systemd could start. */
  async remove(name: UnitName): Promise<void> {
    await writing(`the removal of unit "${name}"`, async () => {
      this.#remembered.delete(name);
      for (const each of [name, `${name}${dropInFolder}`]) {
        if ((await this.#lookAt(each)).kind === "ours") await rm(join(this.#links, each), { force: true });
      }
      await rm(join(this.#launched, name), { force: true });
      await rm(join(this.#enabled, name), { force: true });
      await rm(`${this.#file(name)}${dropInFolder}`, { recursive: true, force: true });
      await rm(this.#file(name), { force: true });
    });
  }

  /** What systemd's runtime folder has under this name. */
  placeOf(name: UnitName): Promise<{ readonly kind: "free" | "ours" | "host"; readonly path: string }> {
    return reading(`the place of unit "${name}"`, () => this.#lookAt(name));
  }

  async relink(name: UnitName): Promise<void> {
    await writing(`the link of unit "${name}"`, async () => {
      if (!(await this.#link(name))) throw foreignProblem(name, join(this.#links, name));
    });
  }

  async noteLaunched(name: UnitName, hash: UnitHash | undefined): Promise<void> {
    await writing(`the start of unit "${name}"`, async () => {
      await this.#folders();
      if (hash === undefined) await rm(join(this.#launched, name), { force: true });
      else await this.#put(join(this.#launched, name), `${hash}\n`);
    });
  }

  /** Whether this unit was enabled since boot, perhaps with another text. */
  async wasEnabled(name: UnitName): Promise<boolean> {
    return reading(`the mark of unit "${name}"`, async () => (await statOf(join(this.#enabled, name))) !== undefined);
  }

  async noteEnabled(name: UnitName, enabled: boolean): Promise<void> {
    await writing(`the mark of unit "${name}"`, async () => {
      if (enabled) await this.#put(join(this.#enabled, name), "");
      else await rm(join(this.#enabled, name), { force: true });
    });
  }

  /** Whether unit files have changed since systemd last read them; survives a crash of the agent. */
  async reloadDue(): Promise<boolean> {
    return reading("the reload mark", async () => (await statOf(this.#reloadMark)) !== undefined);
  }

  async noteReload(due: boolean): Promise<void> {
    await writing("the reload mark", async () => {
      await this.#folders();
      if (due) await writeFile(this.#reloadMark, "");
      else await rm(this.#reloadMark, { force: true });
    });
  }

  #file(name: UnitName): string {
    return join(this.#units, name);
  }

  /** Made once; what a crash left half written is thrown away then. */
  async #folders(): Promise<void> {
    this.#made ??= (async () => {
      await rm(this.#temporary, { recursive: true, force: true });
      for (const folder of [this.#units, this.#launched, this.#enabled, this.#temporary, this.#links]) {
        await mkdir(folder, { recursive: true, mode: 0o755 });
      }
    })();
    try {
      await this.#made;
    } catch (error) {
      this.#made = undefined; // the next call tries again
      throw error;
    }
  }

  /** Whole or not at all for whoever reads it meanwhile. No fsync: all of this is gone at reboot anyway. */
  async #put(path: string, text: string): Promise<void> {
    const temporary = join(this.#temporary, String(++this.#temporaries));
    await writeFile(temporary, text, { mode: 0o644 });
    await rename(temporary, path);
  }

  async #writeDropIns(unit: Unit): Promise<void> {
    const folder = `${this.#file(unit.name)}${dropInFolder}`;
    const wanted = new Map(unit.dropIns.map((dropIn, at) => [fileOfDropIn(dropIn, at), dropIn.text]));
    if (wanted.size === 0) {
      await rm(folder, { recursive: true, force: true });
      await this.#unlinkDropIns(unit.name);
      return;
    }
    await mkdir(folder, { recursive: true, mode: 0o755 });
    for (const [file, text] of wanted) await this.#put(join(folder, file), text);
    for (const file of await readdir(folder)) if (!wanted.has(file)) await rm(join(folder, file), { recursive: true });
  }

  async #unlinkDropIns(name: UnitName): Promise<void> {
    const link = `${name}${dropInFolder}`;
    if ((await this.#lookAt(link)).kind === "ours") await rm(join(this.#links, link), { force: true });
  }

  /** True when both links stand, made anew where missing; false when the host has something in the way. */
  async #link(name: UnitName): Promise<boolean> {
    const hasDropIns = (await statOf(`${this.#file(name)}${dropInFolder}`)) !== undefined;
    for (const each of hasDropIns ? [`${name}${dropInFolder}`, name] : [name]) {
      const { kind } = await this.#lookAt(each);
      if (kind === "host") return false;
      if (kind === "free") await symlink(join(this.#units, each), join(this.#links, each));
    }
    return true;
  }

  async #lookAt(entry: string): Promise<{ readonly kind: "free" | "ours" | "host"; readonly path: string }> {
    const path = join(this.#links, entry);
    const stat = await statOf(path);
    if (stat === undefined) return { kind: "free", path };
    if (!stat.isSymbolicLink()) return { kind: "host", path };
    return { kind: (await readlink(path)) === join(this.#units, entry) ? "ours" : "host", path };
  }

  async #dropDangling(present: ReadonlySet<string>): Promise<void> {
    for (const entry of await readdir(this.#links, { withFileTypes: true })) {
      if (!entry.isSymbolicLink()) continue;
      const target = await readlink(join(this.#links, entry.name));
      if (target !== join(this.#units, entry.name)) continue;
      const unit = entry.name.endsWith(dropInFolder) ? entry.name.slice(0, -dropInFolder.length) : entry.name;
      if (present.has(unit)) continue;
      this.#log.warn("unit.dangling-link", { link: entry.name });
      await rm(join(this.#links, entry.name), { force: true });
    }
  }

  async #lying(name: UnitName): Promise<LyingUnit | undefined> {
    const folder = `${this.#file(name)}${dropInFolder}`;
    const [file, drops, launched] = await Promise.all([
      statOf(this.#file(name)),
      statOf(folder),
      readText(join(this.#launched, name)),
    ]);
    if (file === undefined) return undefined; // removed meanwhile
    // Every write of ours makes a new file in a folder, so inode and times tell whether anything is different.
    const signature = [file, drops].map((stat) => (stat === undefined ? "" : `${stat.ino}/${stat.ctimeNs}`)).join(" ");
    const hash = launched?.trim();
    const read = this.#remembered.get(name)?.signature === signature ? this.#remembered.get(name) : undefined;
    const known = read ?? { signature, ...(await this.#readUnit(name, drops !== undefined)) };
    this.#remembered.set(name, known);
    return {
      name,
      hash: known.hash,
      install: known.install,
      launched: hash !== undefined && /^[0-9a-f]{40}$/.test(hash) ? (hash as UnitHash) : undefined,
    };
  }

  async #readUnit(name: UnitName, hasDropIns: boolean): Promise<{ hash: UnitHash; install: Install }> {
    const text = await readFile(this.#file(name), "utf8");
    const dropIns: { name: string; text: string }[] = [];
    const folder = `${this.#file(name)}${dropInFolder}`;
    for (const file of hasDropIns ? (await readdir(folder)).sort(byName) : []) {
      dropIns.push({ name: file.replace(/^[0-9]{3}-/, ""), text: await readFile(join(folder, file), "utf8") });
    }
    return { hash: unitHash(text, dropIns), install: installOf([text, ...dropIns.map((dropIn) => dropIn.text)]) };
  }
}

/** `work` for each, a bounded number side by side; answers in the order of `items`. */
export async function eachOf<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [at, item] of queue) results[at] = await work(item);
  };
  await Promise.all(Array.from({ length: fileConcurrency }, worker));
  return results;
}

function installOf(texts: readonly string[]): Install {
  const read = texts.map((text) => parseUnitFile(text, ""));
  const whole = concatenate(read.flatMap((each) => (each.ok ? [each.value] : [])));
  const others = ["Alias", "Also"].flatMap((key) => listValue(whole, { section: "Install", key }));
  return {
    present: whole.sections.includes("Install"),
    others: others.flatMap((value) => value.split(/\s+/).filter((word) => word !== "")),
  };
}

function fileOfDropIn(dropIn: DropIn, at: number): string {
  // Checked where the commit was read; a name that is a path must not get this far all the same.
  if (basename(dropIn.name) !== dropIn.name || !dropIn.name.endsWith(".conf") || dropIn.name.includes("\0")) {
    throw new Problem("disk-write", `Cannot write drop-in ${JSON.stringify(dropIn.name)}`, {
      hint: "It must be a plain file name that ends with .conf",
    });
  }
  return `${String(at).padStart(3, "0")}-${dropIn.name}`;
}

export function foreignProblem(name: UnitName, where: string): Problem {
  return new Problem("unit-foreign", `Cannot place unit "${name}": this machine has one of its own at ${where}`, {
    hint: "Give the unit another name, or remove the machine's own",
  });
}

async function statOf(path: string): Promise<Awaited<ReturnType<typeof bigStat>> | undefined> {
  try {
    return await bigStat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function bigStat(path: string) {
  return lstat(path, { bigint: true });
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function reading<T>(what: string, work: () => Promise<T>): Promise<T> {
  return guarded("disk-read", `Cannot read ${what}`, work);
}

function writing<T>(what: string, work: () => Promise<T>): Promise<T> {
  return guarded("disk-write", `Cannot write ${what}`, work);
}

async function guarded<T>(code: string, message: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem(code, message, { cause: error });
  }
}
