// A repository in memory behind the git port, for tests and simulations: commits are made by `commit`, and faults are set on
// the remote. Several machines may `open` one repository; each has a store of its own, as real machines have.
import { createHash } from "node:crypto";
import { type CommitId, byName, parseCommitId } from "../../agent/domain/names.ts";
import { Problem } from "../../agent/domain/problem.ts";
import type { CommitInfo, Git, TreeEntry } from "../../agent/ports/git.ts";

/** Path to content; `"-> TARGET"` is a link, and `submodule` a submodule. */
export type FakeFiles = Readonly<Record<string, string | { readonly submodule: true }>>;

/** What the remote does when it is asked. `slow` resolves when the promise `until` of the test does. */
export type FakeFault =
  | { readonly kind: "unreachable" }
  | { readonly kind: "refused" }
  | { readonly kind: "missing-branch" }
  | { readonly kind: "slow"; readonly until: Promise<void> };

interface FakeCommit {
  readonly info: CommitInfo;
  readonly entries: readonly TreeEntry[];
}

const maxBlobBytes = 1024 * 1024;

export class FakeRepository {
  readonly #commits = new Map<CommitId, FakeCommit>();
  readonly #blobs = new Map<string, Uint8Array>();
  #head: CommitId | undefined;
  #count = 0;
  /** Undefined: the remote answers. */
  fault: FakeFault | undefined;
  /** How many fetches have asked the remote. */
  fetches = 0;

  /** A commit whose whole tree is `files`; the branch points to it. The same calls in the same order give the same ids. */
  commit(files: FakeFiles, { subject = `Commit ${this.#count + 1}`, author = "Test <test@localhost>" } = {}): CommitId {
    const entries = Object.entries(files).map(([path, content]) => this.#entry(path, content));
    entries.sort((a, b) => byName(a.path, b.path));
    const id = commitId(JSON.stringify([this.#head, ++this.#count, subject, author, entries]));
    const atMs = 1_700_000_000_000 + this.#count * 1000;
    this.#commits.set(id, { info: { id, subject: subject.slice(0, 200), author, atMs }, entries });
    this.#head = id;
    return id;
  }

  /** Points the branch to an earlier commit, as a forced push does. */
  reset(commit: CommitId): void {
    this.#head = commit;
  }

  /** One machine's view. `store` is what survives its restart: pass the same to open it again. */
  open({ store = new FakeStore(), folder = "" }: { store?: FakeStore; folder?: string } = {}): Git {
    return new FakeGit(this, { store, folder });
  }

  /** The branch's head as the remote tells it, after its faults. */
  async ask(): Promise<CommitId> {
    this.fetches++;
    if (this.fault?.kind === "slow") await this.fault.until;
    if (this.fault?.kind === "unreachable")
      throw new Problem("git-unreachable", 'Cannot reach the host of "fake:units"', {
        hint: "It is tried again later",
      });
    if (this.fault?.kind === "refused") throw new Problem("git-refused", 'Cannot log in to "fake:units"');
    if (this.#head === undefined || this.fault?.kind === "missing-branch")
      throw new Problem("git-branch", 'Cannot find branch "main" in "fake:units"');
    return this.#head;
  }

  read(commit: CommitId): FakeCommit | undefined {
    return this.#commits.get(commit);
  }

  readBlob(oid: string): Uint8Array | undefined {
    return this.#blobs.get(oid);
  }

  /** Every commit that a full fetch brings now; forced pushes keep what was there before. */
  ids(): readonly CommitId[] {
    return [...this.#commits.keys()];
  }

  #entry(path: string, content: FakeFiles[string]): TreeEntry {
    if (typeof content !== "string") return { path, kind: "submodule", oid: digest(`submodule ${path}`) };
    const link = content.startsWith("-> ");
    const bytes = new TextEncoder().encode(link ? content.slice(3) : content);
    const oid = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
    this.#blobs.set(oid, bytes);
    return { path, kind: link ? "link" : "file", oid };
  }
}

/** What one machine has on disk. */
export class FakeStore {
  head: CommitId | undefined;
  readonly commits = new Set<CommitId>();
}

class FakeGit implements Git {
  readonly #repository: FakeRepository;
  readonly #store: FakeStore;
  readonly #folder: string;
  readonly #over = new AbortController();
  #fetching: Promise<CommitId> | undefined;

  constructor(repository: FakeRepository, { store, folder }: { store: FakeStore; folder: string }) {
    this.#repository = repository;
    this.#store = store;
    this.#folder = folder;
  }

  async fetch(signal?: AbortSignal): Promise<CommitId> {
    this.#mustBeOpen();
    if (signal?.aborted === true) throw aborted();
    this.#fetching ??= this.#bring().finally(() => (this.#fetching = undefined));
    const fetching = this.#fetching;
    return await new Promise<CommitId>((resolve, reject) => {
      const leave = (): void => reject(aborted());
      signal?.addEventListener("abort", leave, { once: true });
      this.#over.signal.addEventListener("abort", leave, { once: true });
      fetching.then(resolve, reject).finally(() => {
        signal?.removeEventListener("abort", leave);
        this.#over.signal.removeEventListener("abort", leave);
      });
    });
  }

  async #bring(): Promise<CommitId> {
    const head = await this.#repository.ask();
    for (const id of this.#repository.ids()) this.#store.commits.add(id);
    this.#store.head = head;
    return head;
  }

  async head(): Promise<CommitId | undefined> {
    this.#mustBeOpen();
    return this.#store.head;
  }

  async has(commit: CommitId): Promise<boolean> {
    this.#mustBeOpen();
    return this.#store.commits.has(commit);
  }

  async info(commit: CommitId): Promise<CommitInfo> {
    return this.#read(commit).info;
  }

  async tree(commit: CommitId): Promise<readonly TreeEntry[]> {
    const { entries } = this.#read(commit);
    if (this.#folder === "") return entries;
    const below = entries.filter(({ path }) => path.startsWith(`${this.#folder}/`));
    if (below.length === 0) throw new Problem("git-path", `Cannot find the folder "${this.#folder}"`);
    return below;
  }

  async blob(oid: string): Promise<Uint8Array> {
    this.#mustBeOpen();
    const bytes = this.#repository.readBlob(oid);
    if (bytes === undefined) throw new Problem("git-damaged", `Cannot read object ${oid}`);
    if (bytes.length > maxBlobBytes) throw new Problem("git-blob-size", `Cannot read blob ${oid}`);
    return Uint8Array.from(bytes);
  }

  async close(): Promise<void> {
    this.#over.abort();
  }

  #read(commit: CommitId): FakeCommit {
    this.#mustBeOpen();
    const found = this.#store.commits.has(commit) ? this.#repository.read(commit) : undefined;
    if (found === undefined) throw new Problem("git-commit", `Cannot find commit ${commit} in the git store`);
    return found;
  }

  #mustBeOpen(): void {
    if (this.#over.signal.aborted) throw aborted();
  }
}

function aborted(): Problem {
  return new Problem("aborted", 'Cannot finish the work on "fake:units": it was called off');
}

function digest(text: string): string {
  return createHash("sha1").update(text).digest("hex");
}

function commitId(text: string): CommitId {
  const id = parseCommitId(digest(text));
  if (!id.ok) throw new Error("A digest has 40 hex digits");
  return id.value;
}
