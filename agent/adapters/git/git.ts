// The git port over a real repository: polls in the main thread, fetches and reads in a worker. Given to wire.
// Objects are read from git's own store only; nothing is ever checked out.
import { join } from "node:path";
import type { CommitId } from "../../domain/names.ts";
import { Problem, explainError } from "../../domain/problem.ts";
import type { GitSettings } from "../../domain/settings.ts";
import type { Clock } from "../../ports/clock.ts";
import type { CommitInfo, Git, TreeEntry } from "../../ports/git.ts";
import type { Log } from "../../ports/log.ts";
import { abortedProblem, packSizeCode } from "./failures.ts";
import { parseLocation, withoutSecrets } from "./location.ts";
import { type HeadRecord, readHead, writeHead } from "./record.ts";
import { askForBranch } from "./refs.ts";
import { SharedWork } from "./shared.ts";
import type { Brought } from "./store.ts";
import { GitThread } from "./thread.ts";
import { type Access, openTransport, pickEnvironment } from "./transport.ts";

/** So long a commit that unpacks to too much is refused without being fetched again. */
const refusedMs = 10 * 60_000;

export interface GitOptions {
  readonly settings: GitSettings;
  /** The agent's own folder; the store and its record lie in it as `store.git` and `store.head`. */
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Log;
  /** For proxies, PATH, HOME and the ssh agent. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Does nothing until it is asked; settings that cannot work are told by `fetch`. */
export function createGit(options: GitOptions): Git {
  return new Repository(options);
}

/** What a fetch would do: the same one brings the same bytes. */
interface Task {
  readonly known: CommitId | undefined;
  readonly expected: CommitId;
  readonly anew: boolean;
}

class Repository implements Git {
  readonly #options: GitOptions;
  readonly #shown: string;
  readonly #recordPath: string;
  readonly #thread: GitThread;
  readonly #fetches: SharedWork<CommitId>;
  /** Undefined until it was read. */
  #record: { readonly value: HeadRecord | undefined } | undefined;
  /** Whether the recorded head was found readable since the start, and no read has failed since. */
  #trusted = false;
  #anew = false;
  #closed = false;
  #refused: { readonly task: Task; readonly problem: Problem; readonly untilMs: number } | undefined;

  constructor(options: GitOptions) {
    const { settings, directory } = options;
    this.#options = options;
    this.#shown = withoutSecrets(settings.url);
    this.#recordPath = join(directory, "store.head");
    this.#thread = new GitThread({ directory, folder: settings.path.replace(/^\/+|\/+$/g, "") });
    this.#fetches = new SharedWork(
      async (signal) => await this.#fetchInTime(signal),
      () => abortedProblem(this.#shown),
    );
  }

  async fetch(signal?: AbortSignal): Promise<CommitId> {
    this.#mustBeOpen();
    return await this.#fetches.join(signal);
  }

  async head(): Promise<CommitId | undefined> {
    this.#mustBeOpen();
    const record = (this.#record ??= { value: await readHead(this.#recordPath) }).value;
    const mine = record?.repository === this.#shown && record.branch === this.#options.settings.branch;
    return mine ? record.commit : undefined;
  }

  async has(commit: CommitId): Promise<boolean> {
    const there = await this.#read(async () => await this.#thread.call("has", commit));
    if (!there && commit === (await this.head())) this.#trusted = false;
    return there;
  }

  async info(commit: CommitId): Promise<CommitInfo> {
    return await this.#read(async () => await this.#thread.call("info", commit));
  }

  async tree(commit: CommitId): Promise<readonly TreeEntry[]> {
    return await this.#read(async () => {
      const entries: TreeEntry[] = [];
      for (let more = true; more;) {
        const page = await this.#thread.call("tree", { commit, from: entries.length });
        for (const entry of page.entries) entries.push(entry);
        more = page.more;
      }
      return entries;
    });
  }

  async blob(oid: string): Promise<Uint8Array> {
    if (!/^[0-9a-f]{40}$/.test(oid)) throw new Problem("git-commit", `Cannot read blob "${oid.slice(0, 64)}"`);
    return await this.#read(async () => await this.#thread.call("blob", oid));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#fetches.stop();
    await this.#thread.close();
  }

  /** A store found damaged is fetched anew, and a dead worker started again: once, then it is reported. */
  async #read<T>(read: () => Promise<T>): Promise<T> {
    this.#mustBeOpen();
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof Problem) || this.#closed) throw error;
      if (error.code === "git-damaged") await this.#mend(error);
      else if (error.code !== "git-worker") throw error;
    }
    return await read();
  }

  async #mend(damage: Problem): Promise<void> {
    this.#trusted = false;
    // Many reads may meet one damage: it is told once.
    if (!this.#anew)
      this.#options.log.warn("git.store-damaged", { repository: this.#shown, problem: explainError(damage) });
    this.#anew = true;
    try {
      await this.#fetches.join();
      if (this.#mustMend()) await this.#fetches.join(); // the first one had begun before the damage was seen
    } catch (error) {
      if (error instanceof Problem && error.code === "aborted") throw error;
      throw new Problem("git-damaged", `Cannot make the damaged git store of "${this.#shown}" anew`, {
        hint: error instanceof Problem ? error.hint : undefined,
        cause: error,
      });
    }
  }

  async #fetchInTime(signal: AbortSignal): Promise<CommitId> {
    const { timeoutMs } = this.#options.settings;
    const controller = new AbortController();
    const onAbort = () => controller.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const timer = setTimeout(() => {
      controller.abort(
        new Problem("git-unreachable", `Cannot fetch from "${this.#shown}" within ${timeoutMs / 1000} s`, {
          hint: "The server is slow or silent; it is tried again later",
        }),
      );
    }, timeoutMs);
    try {
      return await this.#fetch(controller.signal);
    } catch (error) {
      throw controller.signal.aborted ? controller.signal.reason : error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
  }

  async #fetch(signal: AbortSignal): Promise<CommitId> {
    const { clock, log, settings } = this.#options;
    const startedMs = clock.monotonicMs();
    const access = this.#access();
    const { branch } = settings;
    const expected = await this.#poll(access, signal);
    const known = await this.head();
    const anew = this.#anew;
    if (expected === known && this.#trusted && !anew) return expected;

    const { commit, replaced } = await this.#bring({ known, expected, anew }, access, signal);
    if (commit !== known) {
      const record = { commit, repository: this.#shown, branch };
      await writeHead(this.#recordPath, record);
      this.#record = { value: record };
      log.info("git.fetched", {
        repository: this.#shown,
        branch,
        commit,
        tookMs: Math.round(clock.monotonicMs() - startedMs),
      });
    }
    if (replaced !== undefined) log.warn("git.store-replaced", { repository: this.#shown, because: replaced });
    if (anew) this.#anew = false;
    this.#trusted = true;
    return commit;
  }

  async #poll(access: Access, signal: AbortSignal): Promise<CommitId> {
    const transport = await openTransport(access, 2);
    try {
      return await askForBranch(transport, { branch: this.#options.settings.branch, shown: this.#shown, signal });
    } finally {
      await transport.close();
    }
  }

  /** What unpacks to too much is not sent again at each poll: no size of a commit changes. */
  async #bring(task: Task, access: Access, signal: AbortSignal): Promise<Brought> {
    const { clock, settings } = this.#options;
    const refused = this.#refused;
    if (refused !== undefined && isSame(refused.task, task) && clock.monotonicMs() < refused.untilMs)
      throw refused.problem;
    try {
      return await this.#thread.call("bring", { ...task, access, branch: settings.branch }, { signal });
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== packSizeCode) throw error;
      const problem = new Problem("git-repository", error.message, { hint: error.hint });
      this.#refused = { task, problem, untilMs: clock.monotonicMs() + refusedMs };
      throw problem;
    }
  }

  #access(): Access {
    const { settings, environment } = this.#options;
    const location = parseLocation(settings.url);
    if (!location.ok) throw location.problems[0] ?? new Error("A refusal names its problem");
    const folders = settings.path.split("/");
    if (folders.includes("..") || folders.includes("."))
      throw new Problem("git-path", `Cannot use the path "${settings.path}"`, {
        hint: "Write a folder of the repository, such as units or deploy/units",
      });
    return {
      location: location.value,
      username: settings.username ?? (location.value.kind === "http" ? location.value.user : undefined),
      password: (settings.token ?? settings.password)?.reveal(),
      caFile: settings.caFile,
      sshKeyFile: settings.sshKeyFile,
      knownHostsFile: settings.knownHostsFile,
      environment: pickEnvironment(environment),
    };
  }

  #mustMend(): boolean {
    return this.#anew;
  }

  #mustBeOpen(): void {
    if (this.#closed) throw abortedProblem(this.#shown);
  }
}

function isSame(one: Task, other: Task): boolean {
  return one.known === other.known && one.expected === other.expected && one.anew === other.anew;
}
