// ssh and local paths: git-upload-pack in a child process, by the system's ssh or git. Two transports of transport.ts.
// No shell here; the one on the far side of ssh gets a quoted path. Children do not outlive `close`, nor does what
// they leave behind hold it up.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { constants } from "node:fs";
import { access as accessFile, realpath } from "node:fs/promises";
import { Problem } from "../../domain/problem.ts";
import { abortedProblem, complaint, errorCode, tooLarge } from "./failures.ts";
import type { Location } from "./location.ts";
import {
  type Access,
  type Transport,
  connectMs,
  idleMs,
  maxAdvertisementBytes,
  maxAnswerBytes,
  maxComplaintBytes,
} from "./transport.ts";

type SshAccess = Access & { readonly location: Location & { readonly kind: "ssh" } };
type LocalAccess = Access & { readonly location: Location & { readonly kind: "local" } };

/** How long a child that was told to end may take before it is killed. */
const endMs = 2_000;
/** A killed child is gone by now, or hangs in a file system that does not answer: nobody waits for it any more. */
const goneMs = 2_500;
/** How long what a child has left behind may keep its stderr open. */
const leftBehindMs = 1_000;

/** What smart HTTP puts before an advertisement; the readers of all transports expect it. */
const preface = Buffer.from("001e# service=git-upload-pack\n0000");

export async function openSsh(access: SshAccess): Promise<Transport> {
  const { location } = access;
  const { sshKeyFile, knownHostsFile } = access;
  if (sshKeyFile !== undefined) await needFile(sshKeyFile, "ssh key");
  if (knownHostsFile !== undefined) await needFile(knownHostsFile, "known-hosts file");
  const options = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    `ConnectTimeout=${connectMs / 1000}`,
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "ForwardAgent=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    // A master that stays in the background keeps what was open, and is nobody's child
    "ControlMaster=no",
    "ControlPath=none",
    ...(sshKeyFile === undefined ? [] : ["IdentitiesOnly=yes", `IdentityFile=${quoteForSsh(sshKeyFile)}`]),
    ...(knownHostsFile === undefined ? [] : [`UserKnownHostsFile=${quoteForSsh(knownHostsFile)}`]),
  ];
  const args = [
    "-T",
    "-x",
    ...options.flatMap((option) => ["-o", option]),
    ...(location.port === undefined ? [] : ["-p", String(location.port)]),
    ...(location.user === undefined ? [] : ["-l", location.user]),
    "--",
    location.host,
    `git-upload-pack ${quoteForShell(location.path)}`,
  ];
  return new SshTransport({ args, environment: access.environment, shown: location.shown });
}

/** One connection for both questions: the child waits after its refs until it is asked, or told that nothing is wanted. */
class SshTransport implements Transport {
  readonly #start: () => Program;
  readonly #shown: string;
  #program: Program | undefined;

  constructor(parts: { args: readonly string[]; environment: Readonly<Record<string, string>>; shown: string }) {
    this.#shown = parts.shown;
    this.#start = () =>
      new Program("ssh", {
        args: parts.args,
        environment: parts.environment,
        describe: describeSsh,
        shown: parts.shown,
      });
  }

  async advertise(signal: AbortSignal): Promise<readonly Uint8Array[]> {
    await this.close();
    this.#program = this.#start();
    return [preface, ...(await this.#program.read({ signal, maxBytes: maxAdvertisementBytes, untilFlush: true }))];
  }

  async exchange(body: Uint8Array, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    const program = this.#program;
    if (program === undefined) throw new Error(`No advertisement was read from ${this.#shown}`);
    program.end(body);
    return await program.read({ signal, maxBytes: maxAnswerBytes });
  }

  async close(): Promise<void> {
    const program = this.#program;
    this.#program = undefined;
    program?.end(Buffer.from("0000"));
    await program?.stop();
  }
}

export function openLocal({ location, environment }: LocalAccess): Transport {
  return new LocalTransport(location, environment);
}

const beingResolved = new Map<string, Promise<string>>();

/** Asked once at a time: where a file system does not answer, each question holds one of Node's few threads. */
async function resolved(path: string): Promise<string> {
  const asked = beingResolved.get(path) ?? realpath(path).finally(() => beingResolved.delete(path));
  beingResolved.set(path, asked);
  return await asked;
}

async function findFolder({ path, shown }: LocalAccess["location"], signal: AbortSignal): Promise<string> {
  try {
    return await unlessAborted(resolved(path), signal);
  } catch (error) {
    if (signal.aborted) throw whyAborted(signal, shown);
    throw errorCode(error) === "ENOENT"
      ? new Problem("git-repository", `Cannot find a repository at "${shown}"`, { hint: "There is no such folder" })
      : new Problem("git-repository", `Cannot read "${shown}"`, { hint: "Check who may read it", cause: error });
  }
}

/** git refuses repositories of other users unless told that these very folders are meant (safe.directory). */
function trusting(...paths: readonly string[]): Record<string, string> {
  const folders = [...new Set(paths)].flatMap((path) => [path, `${path}/.git`, `${path}.git`]);
  return {
    GIT_CONFIG_COUNT: String(folders.length),
    ...Object.fromEntries(
      folders.flatMap((folder, index) => [
        [`GIT_CONFIG_KEY_${index}`, "safe.directory"],
        [`GIT_CONFIG_VALUE_${index}`, folder],
      ]),
    ),
  };
}

class LocalTransport implements Transport {
  readonly #location: LocalAccess["location"];
  readonly #environment: Readonly<Record<string, string>>;
  readonly #programs = new Set<Program>();

  constructor(location: LocalAccess["location"], environment: Readonly<Record<string, string>>) {
    this.#location = location;
    this.#environment = environment;
  }

  async advertise(signal: AbortSignal): Promise<readonly Uint8Array[]> {
    const chunks = await this.#run({ flags: ["--advertise-refs"], signal, maxBytes: maxAdvertisementBytes });
    return [preface, ...chunks];
  }

  async exchange(body: Uint8Array, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    return await this.#run({ flags: [], body, signal, maxBytes: maxAnswerBytes });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#programs].map((program) => program.stop()));
  }

  async #run(task: { flags: readonly string[]; body?: Uint8Array; signal: AbortSignal; maxBytes: number }) {
    const { path, shown } = this.#location;
    const real = await findFolder(this.#location, task.signal);
    const program = new Program("git", {
      args: ["upload-pack", "--stateless-rpc", ...task.flags, real],
      environment: { ...this.#environment, ...trusting(path, real) },
      describe: describeLocal,
      shown,
    });
    this.#programs.add(program);
    try {
      program.end(task.body);
      return await program.read({ signal: task.signal, maxBytes: task.maxBytes });
    } finally {
      await program.stop();
      this.#programs.delete(program);
    }
  }
}

interface Exit {
  readonly code: number | null;
  readonly error: Error | undefined;
}

interface ProgramOptions {
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly shown: string;
  /** A failure's words as a Problem. */
  readonly describe: (failure: { shown: string; code: number | null; stderr: string }) => Problem;
}

/** A child that answers on stdout: read with bounds on time and size, and always ended. */
class Program {
  readonly #command: string;
  readonly #options: ProgramOptions;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #output: AsyncIterator<Uint8Array>;
  readonly #exited: Promise<Exit>;
  #stderr = "";

  constructor(command: string, options: ProgramOptions) {
    this.#command = command;
    this.#options = options;
    this.#child = spawn(command, [...options.args], {
      cwd: "/",
      env: { ...options.environment, LC_ALL: "C" },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve({ code: null, error }));
      this.#child.once("close", (code) => resolve({ code, error: undefined }));
    });
    this.#child.once("exit", () => {
      const late = setTimeout(() => this.#child.stderr.destroy(), leftBehindMs);
      this.#child.once("close", () => clearTimeout(late));
    });
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-maxComplaintBytes);
    });
    // A child that has gone takes its pipe along; why it went is told by its exit.
    this.#child.stdin.on("error", () => undefined);
    this.#child.stderr.on("error", () => undefined);
    this.#output = (this.#child.stdout as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  }

  /** Gives the child its whole input. A second call does nothing. */
  end(input?: Uint8Array): void {
    if (!this.#child.stdin.writableEnded && !this.#child.stdin.destroyed) this.#child.stdin.end(input);
  }

  /** Everything up to the end of the output and a clean exit, or up to and with the first flush packet. */
  async read(task: { signal: AbortSignal; maxBytes: number; untilFlush?: boolean }): Promise<readonly Uint8Array[]> {
    const { signal, maxBytes } = task;
    const { shown } = this.#options;
    const state = { silent: false };
    // What the child has left behind may keep its output open, and the child itself may hang: the end is not waited for
    const over = new AbortController();
    const onAbort = () => {
      this.#kill("SIGTERM");
      over.abort();
    };
    const idle = setTimeout(() => {
      state.silent = true;
      onAbort();
    }, idleMs);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const chunks: Uint8Array[] = [];
      const flush = new FlushFinder();
      let bytes = 0;
      for (;;) {
        const next = await unlessAborted(this.#output.next(), over.signal);
        if (next.done === true) break;
        idle.refresh();
        bytes += next.value.length;
        if (bytes > maxBytes) throw tooLarge(shown, maxBytes);
        chunks.push(next.value);
        if (task.untilFlush === true && flush.found(next.value)) return chunks;
      }
      const exit = await unlessAborted(this.#exited, over.signal);
      if (exit.code === 0 && task.untilFlush !== true) return chunks;
      throw this.#failure(exit);
    } catch (error) {
      if (signal.aborted) throw whyAborted(signal, shown);
      if (state.silent)
        throw new Problem("git-unreachable", `Cannot get an answer in time from "${shown}"`, {
          hint: "The other side went silent; it is tried again later",
        });
      if (error instanceof Problem) throw error;
      throw this.#failure({ code: null, error: error instanceof Error ? error : new Error(String(error)) });
    } finally {
      clearTimeout(idle);
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Resolves when the child is gone; it is killed when it takes too long, and left when that does not end it. */
  async stop(): Promise<void> {
    this.end();
    this.#child.stdout.destroy(); // unread output would keep it from closing
    const timers = [setTimeout(() => this.#kill("SIGTERM"), endMs / 4), setTimeout(() => this.#kill("SIGKILL"), endMs)];
    const over = new AbortController();
    timers.push(setTimeout(() => over.abort(), goneMs));
    await unlessAborted(this.#exited, over.signal).catch(() => this.#leave());
    for (const timer of timers) clearTimeout(timer);
  }

  /** It holds nothing open in this process, nor this process. */
  #leave(): void {
    this.#child.stdin.destroy();
    this.#child.stderr.destroy();
    this.#child.unref();
  }

  #kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal); // does nothing once it is gone
  }

  #failure({ code, error }: Exit): Problem {
    const { shown, describe } = this.#options;
    if (error !== undefined && errorCode(error) === "ENOENT")
      return new Problem("git-unreachable", `Cannot run ${this.#command} to fetch from "${shown}"`, {
        hint: `Install ${this.#command === "ssh" ? "the OpenSSH client" : "git"} on this machine`,
      });
    if (error !== undefined)
      return new Problem("git-unreachable", `Cannot run ${this.#command} to fetch from "${shown}"`, { cause: error });
    return describe({ shown, code, stderr: this.#stderr });
  }
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let leave = (): void => undefined;
  const left = new Promise<never>((_resolve, reject) => {
    leave = () => reject(new Error("It was called off"));
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
  });
  try {
    return await Promise.race([work, left]);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}

function whyAborted(signal: AbortSignal, shown: string): Problem {
  return signal.reason instanceof Problem ? signal.reason : abortedProblem(shown);
}

/** Finds the flush packet (0000) that ends an advertisement, over chunks of any size. */
class FlushFinder {
  #header = "";
  #skip = 0;

  found(chunk: Uint8Array): boolean {
    for (let at = 0; at < chunk.length;) {
      const skipped = Math.min(this.#skip, chunk.length - at);
      this.#skip -= skipped;
      at += skipped;
      if (this.#skip > 0 || at >= chunk.length) continue;
      this.#header += String.fromCharCode(chunk[at++] ?? 0);
      if (this.#header.length < 4) continue;
      if (this.#header === "0000") return true;
      this.#skip = Math.max(0, (Number.parseInt(this.#header, 16) || 4) - 4);
      this.#header = "";
    }
    return false;
  }
}

interface Failure {
  readonly shown: string;
  readonly code: number | null;
  readonly stderr: string;
}

/** What ssh and the far side write, in the order in which one hides another. */
const sshFailures: readonly {
  readonly says: RegExp;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}[] = [
  {
    says: /REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed/i,
    code: "git-refused",
    message: "Cannot trust the host of",
    hint: "Its ssh host key has changed: find out why, then correct the known-hosts file",
  },
  {
    says: /Host key verification failed|host key is known for|No matching host key fingerprint/i,
    code: "git-refused",
    message: "Cannot trust the host of",
    hint: "Its ssh host key is unknown; add the key that its owner publishes to the known-hosts file",
  },
  {
    says: /Could not resolve hostname/i,
    code: "git-unreachable",
    message: "Cannot find the host of",
    hint: "Check the host name, and this machine's DNS",
  },
  {
    says: /Connection refused/i,
    code: "git-unreachable",
    message: "Cannot connect to the host of",
    hint: "Check the port, and that the ssh server is running",
  },
  {
    says: /timed out|No route to host|Network is unreachable/i,
    code: "git-unreachable",
    message: "Cannot reach the host of",
    hint: "Check the network and any firewall in between",
  },
  {
    says: /UNPROTECTED PRIVATE KEY FILE|bad permissions/i,
    code: "git-refused",
    message: "Cannot use the ssh key for",
    hint: "Others may read the key file; set its mode to 0600",
  },
  {
    says: /Load key .*(invalid format|error in libcrypto|incorrect passphrase)/i,
    code: "git-refused",
    message: "Cannot use the ssh key for",
    hint: "The key file is not a private key without a passphrase",
  },
  {
    says: /Permission denied|Too many authentication failures/i,
    code: "git-refused",
    message: "Cannot log in to",
    hint: "The server refused the ssh key; check the user, the key file, and that the key is registered there",
  },
  {
    says: /command not found|git-upload-pack: not found/i,
    code: "git-unreachable",
    message: "Cannot run git on the host of",
    hint: "Install git there",
  },
  {
    says: /does not appear to be a git repository|repository .*not found|not found|No such file/i,
    code: "git-repository",
    message: "Cannot find a repository at",
    hint: "Check the path, and that the account may read it",
  },
];

function describeSsh({ shown, code, stderr }: Failure): Problem {
  const cause = complaint(stderr) ?? complaint(`ssh ended with exit code ${code ?? "unknown"}`);
  const known = sshFailures.find(({ says }) => says.test(stderr));
  if (known !== undefined) return new Problem(known.code, `${known.message} "${shown}"`, { hint: known.hint, cause });
  return new Problem("git-unreachable", `Cannot fetch from "${shown}"`, { hint: "It is tried again later", cause });
}

function describeLocal({ shown, code, stderr }: Failure): Problem {
  const cause = complaint(stderr) ?? complaint(`git ended with exit code ${code ?? "unknown"}`);
  if (/does not appear to be a git repository|not a git repository/i.test(stderr))
    return new Problem("git-repository", `Cannot find a repository at "${shown}"`, { hint: "Check the path", cause });
  return new Problem("git-repository", `Cannot read the repository at "${shown}"`, {
    hint: "Check it with git fsck, and who may read it",
    cause,
  });
}

async function needFile(path: string, what: string): Promise<void> {
  try {
    await accessFile(path, constants.R_OK);
  } catch (error) {
    throw new Problem("git-refused", `Cannot read the ${what} "${path}"`, {
      hint: "Check its path, and that the agent may read it",
      cause: error,
    });
  }
  if (/["$\p{Cc}]/u.test(path))
    throw new Problem("git-refused", `Cannot use the ${what} "${path.replace(/\p{Cc}/gu, "?")}"`, {
      hint: 'Its path must hold no ", $ or control character, which ssh would read as its own',
    });
}

/** A path as a value in ssh_config(5): quoted for blanks, % doubled because it begins a token. */
function quoteForSsh(path: string): string {
  return `"${path.replaceAll("%", "%%")}"`;
}

/** One word for the far side's shell, as git itself quotes it; upload-pack there expands a leading ~user/. */
function quoteForShell(path: string): string {
  return `'${path.replace(/['!]/g, (mark) => `'\\${mark}'`)}'`;
}
