// The object store on disk: fetches into it, checks what came, reads from it, and replaces it when it is damaged or has
// grown. Lives in the worker thread; the only importer of isomorphic-git. The store is a cache: what it holds can always be
// fetched anew, and nothing is put in its place before that has been checked.
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import git from "isomorphic-git";
import { type CommitId, byName, parseCommitId } from "../../domain/names.ts";
import { Problem } from "../../domain/problem.ts";
import type { CommitInfo, TreeEntry } from "../../ports/git.ts";
import { type FileCalls, fileCalls, makeFolder, syncFolder } from "../durable-files.ts";
import { errorCode, packSizeCode, packTooLarge, writeProblem } from "./failures.ts";
import { type Files, confinedFiles } from "./files.ts";
import { readIndexes } from "./indexes.ts";
import { type PackBounds, measurePack } from "./pack.ts";
import { advertiseBranch, checkAnswer, offeredBranch } from "./refs.ts";
import { type Access, openTransport } from "./transport.ts";
import { parseTree } from "./tree.ts";

/** The library adds a pack for each fetch and never packs again; beyond these the store is fetched anew in one pack. */
const maxPacks = 50;
/** Times the largest pack, plus room for small ones. */
const maxGrowth = 4;
const growthRoomBytes = 64 * 1024 * 1024;
/** Entries of one commit's tree below the configured folder, folders included. */
const maxTreeEntries = 200_000;
const maxPathLength = 4096;
const maxBlobBytes = 1024 * 1024;
/**
 * What the library is given to unpack. It takes four times the object at hand. What deltas make it keeps until the pack is
 * indexed, nearly twice the bytes, but for small ones, which go through a cache of 32 MiB. The rest costs time, 20 s for a GiB:
 * 4 GiB are some 90,000 commits to a folder of 1,000 units.
 */
const packBounds: PackBounds = {
  object: 64 * 1024 * 1024,
  largeResult: maxBlobBytes,
  largeResults: 512 * 1024 * 1024,
  all: 4 * 1024 * 1024 * 1024,
};
/** Commits whose completeness is remembered, and with it not looked at again. */
const maxRemembered = 8;
const maxSubjectLength = 200;
/** The library keeps about what was read; beyond this it begins anew. */
const maxReadBytes = 128 * 1024 * 1024;
/** How often it is looked whether packs have been opened that shall keep their bases. */
const readsPerLook = 32;

/** The library sees one made-up address for every transport: the real one is the transport's business. */
const placeholder = "http://repository.invalid/units";

export interface StoreOptions {
  /** Holds `store.git` and, for a while, what replaces it or was replaced. */
  readonly directory: string;
  /** Folder of the repository that is read, "/"-joined without ends; "" is all. */
  readonly folder: string;
  /** The system's own unless set. */
  readonly calls?: FileCalls;
}

export interface Errand {
  readonly access: Access;
  readonly branch: string;
  /** Last good head: what the server need not send again. */
  readonly known: CommitId | undefined;
  /** What the branch was seen to point to; a newer one may come. */
  readonly expected: CommitId;
  /** Build the store anew whatever it looks like. */
  readonly anew: boolean;
}

export interface Brought {
  readonly commit: CommitId;
  /** Why the store was made anew, if it was. */
  readonly replaced: "damaged" | "grown" | undefined;
}

/** One store folder as the library reads it. */
interface Place {
  readonly gitdir: string;
  readonly fs: Files;
  /** The library's own: parsed indexes and loaded packs. */
  readonly cache: object;
}

export class Store {
  readonly #options: StoreOptions;
  readonly #gate = new Gate();
  readonly #calls: FileCalls;
  #place: Place;
  #reads = 0;
  #readBytes = 0;
  /** Commits found whole, with their listing below the folder, or why the commit has none that can be taken. */
  readonly #whole = new Map<CommitId, readonly TreeEntry[] | Problem>();

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#calls = options.calls ?? fileCalls;
    this.#place = openPlace(join(options.directory, "store.git"), this.#calls);
  }

  /** Makes the branch's newest commit readable. One at a time. */
  async bring(errand: Errand, signal: AbortSignal): Promise<Brought> {
    await removeLeftovers(this.#place.gitdir, { directory: this.#options.directory, calls: this.#calls });
    const size = await measure(this.#place.gitdir);
    if (errand.anew) return await this.#replace(errand, { because: "damaged", signal });
    let damage: unknown;
    try {
      if (await this.has(errand.expected)) return { commit: errand.expected, replaced: undefined };
      if (isGrown(size)) return await this.#replaceGrown(errand, signal);
      return { commit: await this.#fetchInto(this.#place, { ...errand, signal }), replaced: undefined };
    } catch (error) {
      // An error of the library while the store was empty cannot be the store's.
      if (error instanceof Problem && error.code !== "git-damaged") throw error;
      if (size.empty) throw notUnderstood(errand, error);
      damage = error;
    }
    try {
      return await this.#replace(errand, { because: "damaged", signal });
    } catch (error) {
      if (signal.aborted || (error instanceof Problem && error.code === "disk-write")) throw error;
      throw new Problem("git-damaged", `Cannot make the damaged git store of "${errand.access.location.shown}" anew`, {
        hint: error instanceof Problem ? error.hint : undefined,
        cause: error ?? damage,
      });
    }
  }

  /** Whether the commit, its trees and its blobs below the folder are here and readable. Rejects with "git-damaged". */
  async has(commit: CommitId): Promise<boolean> {
    return await this.#gate.enter(async () => {
      if (this.#whole.has(commit)) return true;
      try {
        await this.#check(this.#place, commit);
        return true;
      } catch (error) {
        if (error instanceof Problem && error.code === "git-commit") return false;
        throw error;
      }
    });
  }

  async info(id: CommitId): Promise<CommitInfo> {
    return await this.#gate.enter(async () => {
      const { commit } = await this.#readCommit(this.#place, id);
      // The library promises all of it; a commit that git's own tools have not made may lack each
      const { author, committer, message } = commit as Partial<typeof commit>;
      const seconds = committer?.timestamp ?? 0;
      return {
        id,
        subject: clean(message?.split("\n")[0] ?? "").slice(0, maxSubjectLength),
        author: clean(`${author?.name ?? ""} <${author?.email ?? ""}>`).slice(0, maxSubjectLength),
        atMs: Number.isSafeInteger(seconds * 1000) ? seconds * 1000 : 0,
      };
    });
  }

  /**
   * In path order. Rejects with "git-path" when the commit has no such folder: that is no reason to stop everything; with
   * "git-tree-size" when too much is in it.
   */
  async tree(commit: CommitId): Promise<readonly TreeEntry[]> {
    return await this.#gate.enter(async () => {
      const entries = this.#whole.get(commit) ?? (await this.#check(this.#place, commit));
      if (entries instanceof Problem) throw entries;
      return entries;
    });
  }

  async blob(oid: string): Promise<Uint8Array> {
    return await this.#gate.enter(async () => {
      const place = this.#place;
      const bytes = await this.#readObject(place, { oid, type: "blob" });
      if (this.#reads++ % readsPerLook === 0) await keepBases(place.cache);
      this.#readBytes += bytes.length;
      if (this.#readBytes > maxReadBytes) this.#forget();
      if (bytes.length > maxBlobBytes)
        throw new Problem("git-blob-size", `Cannot read blob ${oid.slice(0, 12)}`, {
          hint: `It has ${bytes.length} bytes; a unit or drop-in may have ${maxBlobBytes}`,
        });
      return Uint8Array.from(bytes); // its own memory: it is handed to another thread
    });
  }

  /** Gives back what the library keeps of packs and objects. */
  #forget(): void {
    this.#place = openPlace(this.#place.gitdir, this.#calls);
    this.#readBytes = 0;
    this.#reads = 0;
  }

  async #replaceGrown(errand: Errand, signal: AbortSignal): Promise<Brought> {
    try {
      return await this.#replace(errand, { because: "grown", signal });
    } catch (error) {
      // Two stores side by side need room, and all of a history may be more than what came bit by bit: then the old one goes on
      // growing by what is new.
      if (!(error instanceof Problem) || (error.code !== "disk-write" && error.code !== packSizeCode)) throw error;
      return { commit: await this.#fetchInto(this.#place, { ...errand, signal }), replaced: undefined };
    }
  }

  /** Fetches everything into a new folder, checks it, and only then puts it in the old one's place. */
  async #replace(errand: Errand, how: { because: "damaged" | "grown"; signal: AbortSignal }): Promise<Brought> {
    const { directory } = this.#options;
    const fresh = join(directory, "store.git.new");
    await this.#calls.rm(fresh, { recursive: true, force: true });
    try {
      const place = openPlace(fresh, this.#calls);
      let commit: CommitId;
      try {
        commit = await this.#fetchInto(place, { ...errand, known: undefined, signal: how.signal });
      } catch (error) {
        throw error instanceof Problem && error.code !== "git-damaged" ? error : notUnderstood(errand, error);
      }
      await this.#gate.close(async () => {
        await this.#swap(fresh, how.because);
      });
      return { commit, replaced: how.because };
    } finally {
      await this.#calls.rm(fresh, { recursive: true, force: true });
    }
  }

  async #swap(fresh: string, because: "damaged" | "grown"): Promise<void> {
    const { directory } = this.#options;
    const { gitdir } = this.#place;
    const aside = (await readdir(directory)).flatMap((name) => /^store\.git\.damaged-(\d+)$/.exec(name) ?? []);
    const numbers = aside.map(Number).filter(Number.isFinite);
    const old = `${gitdir}.damaged-${Math.max(0, ...numbers) + 1}`;
    try {
      if (await exists(gitdir)) await this.#calls.rename(gitdir, old);
      await this.#calls.rename(fresh, gitdir);
      await syncFolder(directory, this.#calls);
    } catch (error) {
      throw writeProblem(error, gitdir);
    } finally {
      this.#forget();
      this.#whole.clear();
    }
    const gone = numbers.map((number) => `${gitdir}.damaged-${number}`);
    for (const path of because === "grown" ? [old] : gone) await this.#calls.rm(path, { recursive: true, force: true });
  }

  async #fetchInto(place: Place, errand: Errand & { readonly signal: AbortSignal }): Promise<CommitId> {
    const { access, branch, known, signal } = errand;
    const { shown } = access.location;
    const { gitdir, fs, cache } = place;
    const ref = `refs/remotes/origin/${offeredBranch}`;
    try {
      await makeFolder(join(gitdir, "objects/pack"), this.#calls);
      await git.init({ fs, gitdir, bare: true });
      await git.addRemote({ fs, gitdir, remote: "origin", url: placeholder, force: true });
      // Whatever the last fetch left: a store may be from a time when branches had their own names here.
      await this.#calls.rm(join(gitdir, "refs/remotes"), { recursive: true, force: true });
      // Only a commit that was found whole is offered as present: the library moves refs before the objects arrive.
      if (known === undefined) await git.deleteRef({ fs, gitdir, ref });
      else await git.writeRef({ fs, gitdir, ref, value: known, force: true });
    } catch (error) {
      throw isDiskTrouble(error) ? writeProblem(error, gitdir) : error;
    }
    const transport = await openTransport(access, 0);
    try {
      const result = await git.fetch({
        fs,
        gitdir,
        cache,
        remote: "origin",
        ref,
        remoteRef: `refs/heads/${offeredBranch}`,
        singleBranch: true,
        tags: false,
        http: {
          request: async ({ url, method, body }) => {
            const bytes =
              method === "POST"
                ? await within(checkAnswer(await transport.exchange(await gather(body), signal), shown), shown, signal)
                : await advertiseBranch(transport, { branch, shown, signal });
            const kind = method === "POST" ? "result" : "advertisement";
            return {
              url,
              method: method ?? "GET",
              statusCode: 200,
              statusMessage: "OK",
              headers: { "content-type": `application/x-git-upload-pack-${kind}` },
              body: once(bytes),
            };
          },
        },
      });
      const commit = parseCommitId(result.fetchHead ?? "");
      if (!commit.ok) throw new Error("The fetch ended without a commit");
      await this.#check(place, commit.value);
      return commit.value;
    } finally {
      await transport.close();
    }
  }

  /** Reads the commit and every tree below the folder, and sees that each blob is in a pack whose checksum holds. */
  async #check(place: Place, commit: CommitId): Promise<readonly TreeEntry[] | Problem> {
    const { commit: read } = await this.#readCommit(place, commit);
    try {
      const root = await this.#findFolder(place, read.tree);
      const entries =
        root === undefined ? noFolder(this.#options.folder, commit) : await this.#list(place, { root, commit });
      const indexes = await readIndexes(place.gitdir);
      const samples = new Map<string, string>();
      for (const { oid, kind } of entries instanceof Problem ? [] : entries) {
        if (kind === "submodule") continue;
        const pack = indexes.find(oid);
        if (pack === undefined) throw new Error(`Object ${oid} of commit ${commit} is missing`);
        if (!samples.has(pack)) samples.set(pack, oid);
      }
      // One read loads the pack, and loading verifies its checksum.
      for (const oid of samples.values()) await readRaw(place, oid);
      while (this.#whole.size >= maxRemembered) this.#whole.delete([...this.#whole.keys()][0] ?? commit);
      this.#whole.set(commit, entries);
      return entries;
    } catch (error) {
      throw damaged(place, error);
    }
  }

  async #findFolder(place: Place, rootTree: string): Promise<string | undefined> {
    let oid = rootTree;
    for (const name of this.#options.folder.split("/").filter((part) => part !== "")) {
      const item = parseTree(await this.#readObject(place, { oid, type: "tree" })).find((each) => each.name === name);
      if (item?.kind !== "tree") return undefined;
      oid = item.oid;
    }
    return oid;
  }

  /** What is too much is the commit's own fault: the fetch that brought it went well. */
  async #list(
    place: Place,
    { root, commit }: { root: string; commit: CommitId },
  ): Promise<readonly TreeEntry[] | Problem> {
    const entries: TreeEntry[] = [];
    const folder = this.#options.folder;
    const waiting = [{ oid: root, prefix: folder === "" ? "" : `${folder}/` }];
    let seen = 0;
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      for (const { name, kind, oid } of parseTree(await this.#readObject(place, { oid: next.oid, type: "tree" }))) {
        const path = next.prefix + name;
        if (++seen > maxTreeEntries || path.length > maxPathLength)
          return new Problem("git-tree-size", `Cannot list commit ${commit.slice(0, 12)}`, {
            hint:
              seen > maxTreeEntries
                ? `It has more than ${maxTreeEntries} files and folders below "${folder}"; keep units in a folder of their own`
                : `It has a path of more than ${maxPathLength} characters`,
          });
        if (kind === "tree") waiting.push({ oid, prefix: `${path}/` });
        else entries.push({ path, kind, oid });
      }
    }
    return entries.sort((a, b) => byName(a.path, b.path));
  }

  async #readCommit(place: Place, oid: CommitId) {
    try {
      return await git.readCommit({ gitdir: place.gitdir, fs: place.fs, cache: place.cache, oid });
    } catch (error) {
      const data = error instanceof git.Errors.NotFoundError ? error.data : undefined;
      if (data?.what === oid || error instanceof git.Errors.ObjectTypeError)
        throw new Problem("git-commit", `Cannot find commit ${oid.slice(0, 12)} in the git store`, {
          hint: "It is not on the branch, or has not been fetched yet",
        });
      throw damaged(place, error);
    }
  }

  async #readObject(place: Place, wanted: { oid: string; type: "blob" | "tree" }): Promise<Buffer> {
    const { oid, type } = wanted;
    try {
      if (oid === emptyTree) return Buffer.alloc(0);
      const found = await readRaw(place, oid);
      if (found.format !== "content" || found.type !== type) throw new Error(`Object ${oid} is not a ${type}`);
      return found.object as Buffer;
    } catch (error) {
      throw damaged(place, error);
    }
  }
}

/**
 * Objects are kept as deltas in chains of up to 50. The library means to keep the bases that it has already unpacked, but an
 * index read from disk begins its count at undefined, so that it never does: this begins it. 10 times as fast; an index of
 * another shape is left as it is.
 */
async function keepBases(cache: object): Promise<void> {
  for (const symbol of Object.getOwnPropertySymbols(cache)) {
    const indexes = (cache as Readonly<Record<symbol, unknown>>)[symbol];
    if (!(indexes instanceof Map)) continue;
    for (const each of indexes.values() as Iterable<unknown>) {
      const index: unknown = await each;
      if (typeof index === "object" && index !== null && "offsetCache" in index)
        Object.assign(index, { readDepth: keepAll });
    }
  }
}

/** Above the depth from which the library keeps. */
const keepAll = 4;

async function readRaw({ gitdir, fs, cache }: Place, oid: string) {
  // Marked as deprecated only because it is hard to use; readTree refuses names with a backslash, which units have.
  // eslint-disable-next-line @typescript-eslint/no-deprecated
  return await git.readObject({ gitdir, fs, cache, oid, format: "content" });
}

const emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

function openPlace(gitdir: string, calls: FileCalls): Place {
  return { gitdir, fs: confinedFiles(gitdir, calls), cache: {} };
}

function noFolder(folder: string, commit: CommitId): Problem {
  return new Problem("git-path", `Cannot find the folder "${folder}" in commit ${commit.slice(0, 12)}`, {
    hint: "Set the path to the folder that holds the units; to run none, leave any file in it",
  });
}

function damaged(place: Place, error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem("git-damaged", `Cannot read the git store "${place.gitdir}"`, {
    hint: "It is fetched anew",
    cause: ownWords(error),
  });
}

function notUnderstood({ access }: Errand, error: unknown): Problem {
  return new Problem("git-repository", `Cannot use what "${access.location.shown}" sent`, {
    hint: "Check that repository with git fsck",
    cause: ownWords(error),
  });
}

/** The library's words for an error that it did not foresee, without its plea to report it. */
function ownWords(error: unknown): unknown {
  return error instanceof git.Errors.InternalError ? new Error(error.data.message, { cause: error.cause }) : error;
}

/** The answer, when the library can unpack its pack in bounded memory. */
async function within(answer: Uint8Array, shown: string, signal: AbortSignal): Promise<Uint8Array> {
  const excess = await measurePack(answer, { bounds: packBounds, signal });
  if (excess !== undefined) throw packTooLarge(shown, excess, packBounds);
  return answer;
}

function isDiskTrouble(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "ENOTDIR"].includes(errorCode(error) ?? "");
}

/** One line without control characters: authors and subjects are printed on terminals. */
function clean(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ").trim();
}

interface Size {
  /** Neither packs nor indexes. */
  readonly empty: boolean;
  readonly packs: number;
  readonly bytes: number;
  readonly largest: number;
}

async function measure(gitdir: string): Promise<Size> {
  const folder = join(gitdir, "objects/pack");
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return { empty: true, packs: 0, bytes: 0, largest: 0 };
    throw damaged({ gitdir, fs: confinedFiles(gitdir), cache: {} }, error);
  }
  const packs = names.filter((name) => name.endsWith(".pack"));
  const sizes = await Promise.all(packs.map(async (name) => (await stat(join(folder, name))).size));
  const empty = packs.length === 0 && !names.some((name) => name.endsWith(".idx"));
  return {
    empty,
    packs: sizes.length,
    bytes: sizes.reduce((sum, size) => sum + size, 0),
    largest: Math.max(0, ...sizes),
  };
}

function isGrown({ packs, bytes, largest }: Size): boolean {
  return packs > maxPacks || bytes > maxGrowth * largest + growthRoomBytes;
}

/** What a crash in the middle of a write or a replacement left behind. */
async function removeLeftovers(
  gitdir: string,
  { directory, calls }: { readonly directory: string; readonly calls: FileCalls },
): Promise<void> {
  try {
    await makeFolder(directory, calls);
    await calls.rm(`${gitdir}.new`, { recursive: true, force: true });
    const folder = join(gitdir, "objects/pack");
    if (!(await exists(folder))) return;
    for (const name of await readdir(folder))
      if (name.endsWith(".part")) await calls.rm(join(folder, name), { force: true });
  } catch (error) {
    throw writeProblem(error, directory);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}

async function gather(body: AsyncIterable<Uint8Array> | Iterable<Uint8Array> | undefined): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body ?? []) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* once(bytes: Uint8Array): AsyncIterableIterator<Uint8Array> {
  yield bytes;
}

/** Many may be inside; whoever closes it waits until all are out, and lets nobody in meanwhile. */
class Gate {
  #inside = 0;
  #closed: Promise<void> | undefined;
  #onEmpty: (() => void) | undefined;

  async enter<T>(work: () => Promise<T>): Promise<T> {
    while (this.#closed !== undefined) await this.#closed;
    this.#inside++;
    try {
      return await work();
    } finally {
      if (--this.#inside === 0) this.#onEmpty?.();
    }
  }

  /** One at a time: called from `bring` only. */
  async close(work: () => Promise<void>): Promise<void> {
    let open = (): void => undefined;
    this.#closed = new Promise((resolve) => (open = resolve));
    try {
      if (this.#inside > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve));
      await work();
    } finally {
      this.#onEmpty = undefined;
      this.#closed = undefined;
      open();
    }
  }
}
