// What power loss may leave of what was written: every change of a real folder is recorded, and for each moment all that POSIX
// allows to be on the disk is laid out anew. What no fsync has confirmed may be there, be missing, or be there in part.
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, open, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import type { FileCalls } from "../../agent/adapters/durable-files.ts";

type Step =
  | { readonly kind: "folder" | "file" | "remove" | "sync-folder" | "sync-file"; readonly path: string }
  | { readonly kind: "bytes"; readonly path: string; readonly bytes: Buffer }
  | { readonly kind: "rename"; readonly path: string; readonly to: string };

/** Path to bytes; undefined is a folder. */
export type Disk = ReadonlyMap<string, Buffer | undefined>;

/** Beyond these, changes of folders that nothing has confirmed are lost in some ways and not in all. */
const maxTogether = 6;

export class Recorder {
  /** Real, and made by the caller; taken to be on the disk. */
  readonly root: string;
  readonly calls: FileCalls;
  readonly #steps: Step[] = [];
  #last: Promise<unknown> = Promise.resolve();

  constructor(root: string) {
    this.root = root;
    this.calls = {
      mkdir: ((path: string, options: { readonly recursive: boolean }) =>
        this.#alone(async () => {
          const first = await mkdir(path, options);
          const made: string[] = [];
          for (let each = path; first !== undefined && each.length >= first.length; each = dirname(each))
            made.unshift(each);
          for (const each of made) this.#note({ kind: "folder", path: each });
          return first;
        })) as FileCalls["mkdir"],
      open: ((path: string, flags: string, mode?: number) =>
        this.#alone(() => this.#open(path, flags, mode))) as unknown as FileCalls["open"],
      rename: (from, to) =>
        this.#alone(async () => {
          await rename(from, to);
          this.#note({ kind: "rename", path: from as string, to: this.#inside(to as string) });
        }),
      rm: (path, options) =>
        this.#alone(async () => {
          const isThere = existsSync(path);
          await rm(path, options);
          if (isThere) this.#note({ kind: "remove", path: path as string });
        }),
    };
  }

  /** How many changes there have been: a moment for `disks`. */
  get moment(): number {
    return this.#steps.length;
  }

  /** Everything that may lie there when power is lost after so many changes. */
  disks(moment: number): readonly Disk[] {
    const model = new Model();
    for (const step of this.#steps.slice(0, moment)) model.take(step);
    return model.disks();
  }

  async #open(path: string, flags: string, mode: number | undefined) {
    const file = await open(path, flags, mode);
    const isFolder = flags === "r";
    if (!isFolder) this.#note({ kind: "file", path });
    return {
      writeFile: (data: Uint8Array | string) =>
        this.#alone(async () => {
          await file.writeFile(data);
          this.#note({ kind: "bytes", path, bytes: Buffer.from(data as string) });
        }),
      sync: () =>
        this.#alone(async () => {
          await file.sync();
          this.#note({ kind: isFolder ? "sync-folder" : "sync-file", path });
        }),
      close: () => file.close(),
    };
  }

  /** One call after the other, so that they are recorded in the order in which they were carried out. */
  async #alone<T>(call: () => Promise<T>): Promise<T> {
    const done = this.#last.then(call);
    this.#last = done.catch(() => undefined);
    return done;
  }

  #note(step: Step): void {
    this.#steps.push({ ...step, path: this.#inside(step.path) });
  }

  #inside(path: string): string {
    return relative(this.root, path);
  }
}

/** The disk in a folder of its own, for a reader; gone when that has ended. */
export async function withDisk<T>(disk: Disk, read: (root: string) => Promise<T>): Promise<T> {
  const root = await mkdtemp(join(tmpdir(), "flotilla-power-"));
  try {
    for (const [path, bytes] of disk) {
      if (bytes === undefined) await mkdir(join(root, path), { recursive: true });
      else await writeFile(join(root, path), bytes);
    }
    return await read(root);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

interface File {
  now: Buffer;
  confirmed: Buffer;
}

interface Folder {
  readonly now: Map<string, File | Folder>;
  readonly confirmed: Map<string, File | Folder>;
  /** Since the last fsync, in order. */
  pending: Change[];
}

type Change = (entries: Map<string, File | Folder>) => unknown;

class Model {
  readonly #root: Folder = { now: new Map(), confirmed: new Map(), pending: [] };

  take(step: Step): void {
    const name = step.path.split("/").at(-1) ?? "";
    switch (step.kind) {
      case "folder": {
        const made: Folder = { now: new Map(), confirmed: new Map(), pending: [] };
        change(this.#folder(dirname(step.path)), (entries) => entries.set(name, made));
        return;
      }
      case "file":
        this.#create(step.path, name);
        return;
      case "bytes":
        this.#file(step.path).now = step.bytes;
        return;
      case "sync-file": {
        const file = this.#file(step.path);
        file.confirmed = file.now;
        return;
      }
      case "sync-folder": {
        const folder = this.#folder(step.path);
        folder.confirmed.clear();
        for (const [each, node] of folder.now) folder.confirmed.set(each, node);
        folder.pending = [];
        return;
      }
      case "remove":
        change(this.#folder(dirname(step.path)), (entries) => entries.delete(name));
        return;
      case "rename":
        this.#rename(step.path, step.to);
    }
  }

  /** Each of what may be left of the folders, with each of what may be left of one file's bytes at a time. */
  disks(): readonly Disk[] {
    const found = new Map<string, Disk>();
    for (const lost of waysToLose(foldersOf(this.#root).flatMap(({ pending }) => pending))) {
      const files: File[] = [];
      layOut(this.#root, { lost, files, bytesOf: (file) => file.now });
      const unsure = new Set(files.filter((file) => file.now !== file.confirmed));
      for (const [at, bytes] of [[undefined, Buffer.alloc(0)] as const, ...[...unsure].flatMap(remains)]) {
        const disk = layOut(this.#root, { lost, files: [], bytesOf: (file) => (file === at ? bytes : file.now) });
        const key = [...disk].map(([path, each]) => `${path}\0${each?.toString("latin1") ?? "/"}`).join("\n");
        found.set(key, disk);
      }
    }
    return [...found.values()];
  }

  #create(path: string, name: string): void {
    const folder = this.#folder(dirname(path));
    const there = folder.now.get(name);
    if (there !== undefined && !("pending" in there)) there.now = Buffer.alloc(0);
    else {
      const made: File = { now: Buffer.alloc(0), confirmed: Buffer.alloc(0) };
      change(folder, (entries) => entries.set(name, made));
    }
  }

  #rename(path: string, to: string): void {
    const [from, into] = [this.#folder(dirname(path)), this.#folder(dirname(to))];
    if (from !== into) throw new Error("Nothing is moved from one folder to another here");
    const [name, other] = [path, to].map((each) => each.split("/").at(-1) ?? "");
    const node = from.now.get(name ?? "");
    if (node === undefined) throw new Error(`There is no ${path}`);
    change(from, (entries) => {
      entries.delete(name ?? "");
      entries.set(other ?? "", node);
    });
  }

  #folder(path: string): Folder {
    let folder = this.#root;
    for (const part of path === "." || path === "" ? [] : path.split("/")) {
      const next = folder.now.get(part);
      if (next === undefined || !("pending" in next)) throw new Error(`There is no folder ${path}`);
      folder = next;
    }
    return folder;
  }

  #file(path: string): File {
    const node = this.#folder(dirname(path)).now.get(path.split("/").at(-1) ?? "");
    if (node === undefined || "pending" in node) throw new Error(`There is no file ${path}`);
    return node;
  }
}

function change(folder: Folder, alter: Change): void {
  alter(folder.now);
  folder.pending.push(alter);
}

function foldersOf(folder: Folder): readonly Folder[] {
  const below = [...new Set([...folder.now.values(), ...folder.confirmed.values()])];
  return [folder, ...below.flatMap((node) => ("pending" in node ? foldersOf(node) : []))];
}

/** All subsets where they are few; else none, all, each alone, and each but one. */
function waysToLose(changes: readonly Change[]): readonly ReadonlySet<Change>[] {
  if (changes.length <= maxTogether) {
    return Array.from(
      { length: 2 ** changes.length },
      (_, bits) => new Set(changes.filter((_each, at) => (bits >> at) % 2 === 1)),
    );
  }
  const all = new Set(changes);
  const alone = changes.map((each) => new Set([each]));
  return [new Set(), all, ...alone, ...changes.map((each) => new Set(changes.filter((other) => other !== each)))];
}

/** The file with what may be left of its bytes: the old ones, none, the first so many, or as many zeros. */
function remains(file: File): readonly (readonly [File, Buffer])[] {
  const { length } = file.now;
  const step = Math.max(1, Math.floor(length / 64));
  const cuts = Array.from({ length: Math.ceil(length / step) }, (_, at) => file.now.subarray(0, at * step));
  return [file.confirmed, Buffer.alloc(length), ...cuts].map((bytes) => [file, bytes] as const);
}

interface Loss {
  readonly lost: ReadonlySet<Change>;
  readonly bytesOf: (file: File) => Buffer;
  /** Those that are there. */
  readonly files: File[];
}

function layOut(folder: Folder, loss: Loss, prefix = ""): Disk {
  const entries = new Map(folder.confirmed);
  for (const each of folder.pending) if (!loss.lost.has(each)) each(entries);
  const disk = new Map<string, Buffer | undefined>();
  for (const [name, node] of entries) {
    const path = `${prefix}${name}`;
    if ("pending" in node) {
      disk.set(path, undefined);
      for (const [below, bytes] of layOut(node, loss, `${path}/`)) disk.set(below, bytes);
    } else {
      loss.files.push(node);
      disk.set(path, loss.bytesOf(node));
    }
  }
  return disk;
}
