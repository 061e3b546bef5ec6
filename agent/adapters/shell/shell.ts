// Commands on machines of the cluster, behind ports/machine-shell.ts: here, in a private machine of a playground, or by the
// system's ssh. Which of them is decided for each call, before anything is started.
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Problem } from "../../domain/problem.ts";
import { type SshAddress, parseSshAddress } from "../../domain/ssh-address.ts";
import {
  type AskedOptions,
  type Captured,
  type MachineShell,
  type ShellMachine,
  type Words,
  captureTimeoutMs,
} from "../../ports/machine-shell.ts";
import type { Reach } from "../../ports/reach.ts";
import { createApiClient } from "../api-client.ts";
import { createHost } from "../host.ts";
import { enterPrivate } from "./private-machine.ts";
import { type Program, attachProgram, captureProgram, streamProgram } from "./programs.ts";
import { sshFailure } from "./ssh-failure.ts";
import { quoteWords, sshWords } from "./ssh-words.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Most of ssh's own log that is read. */
const maxLogBytes = 64 * 1024;
/** ssh's status when it could not connect; a command may end with it, too. */
const sshFailedStatus = 255;
/** The agent of this machine answers at once or is not asked twice. */
const ownIdTimeoutMs = 2_000;

const sshHint = "Install OpenSSH's client: apt-get install openssh-client";
const hereHint = "It has to be installed on this machine, and in PATH";

/** Cheap: looks at nothing before the first call. `env` is what programs get, with SSH_AUTH_SOCK and HOME for ssh. */
export function createMachineShell(reach: Reach, env: Environment): MachineShell {
  const shell = new Shell(reach, env);
  return {
    isHere: async (machine) => (await shell.way(machine)).kind !== "ssh",
    capture: (machine, command, options = {}) => shell.capture(machine, command, options),
    stream: async (machine, command, { signal, mayAsk = false, line }) =>
      shell.run(machine, { command, signal, mayAsk, how: (program) => streamProgram(program, line) }),
    attach: (machine, command, options = {}) => shell.attach(machine, command, options),
  };
}

/** How a machine is come to. */
type Way =
  | { readonly kind: "here" }
  /** A private machine: words put in front of a command, and its environment. */
  | {
      readonly kind: "private";
      readonly enter: (command: Words) => { readonly words: Words; readonly env: Environment };
    }
  | { readonly kind: "ssh" };

interface Run<T> {
  readonly command: Words;
  readonly signal: AbortSignal | undefined;
  readonly mayAsk: boolean;
  readonly how: (program: Program) => Promise<T>;
}

class Shell {
  readonly #reach: Reach;
  readonly #env: Environment;
  #own: Promise<ReadonlySet<string>> | undefined;

  constructor(reach: Reach, env: Environment) {
    this.#reach = reach;
    this.#env = env;
  }

  async way(machine: ShellMachine): Promise<Way> {
    const { endpoint, ssh } = this.#reach;
    if (endpoint.kind === "unix" && ssh.tunnel === undefined) {
      const enter = await enterPrivate(machine, endpoint.path);
      if (enter !== undefined) return { kind: "private", enter };
    }
    this.#own ??= this.#ownIds();
    return { kind: (await this.#own).has(machine.id) ? "here" : "ssh" };
  }

  async capture(
    machine: ShellMachine,
    command: Words,
    { signal, mayAsk = false, timeoutMs = captureTimeoutMs }: AskedOptions & { readonly timeoutMs?: number },
  ): Promise<Captured> {
    const late = AbortSignal.timeout(timeoutMs);
    const both = signal === undefined ? late : AbortSignal.any([signal, late]);
    try {
      return await this.run(machine, { command, signal: both, mayAsk, how: captureProgram });
    } catch (error) {
      if (!(error instanceof Problem && error.code === "aborted" && late.aborted && signal?.aborted !== true))
        throw error;
      throw new Problem(
        "shell-timeout",
        `Cannot wait longer than ${timeoutMs / 1000} s for ${command[0]} on ${name(machine)}`,
        { cause: error },
      );
    }
  }

  /** Runs the words as they are, wherever it is. */
  async run<T extends number | Captured>(machine: ShellMachine, { command, signal, mayAsk, how }: Run<T>): Promise<T> {
    const way = await this.way(machine);
    switch (way.kind) {
      case "here":
        return how({ words: command, env: this.#env, signal, hint: hereHint, missing: "shell-missing" });
      case "private": {
        const { words, env } = way.enter(command);
        return how({ words, env: { ...this.#env, ...env }, signal, hint: hereHint, missing: "shell-missing" });
      }
      case "ssh":
        return this.#bySsh(machine, { command: quoteWords(command), signal, how, mayAsk });
    }
  }

  async attach(
    machine: ShellMachine,
    command: readonly string[] | undefined,
    { signal, forwardAgent = false }: { readonly signal?: AbortSignal | undefined; readonly forwardAgent?: boolean },
  ): Promise<number> {
    const way = await this.way(machine);
    const text = command?.join(" ");
    // A user that is asked for is only to be had by a login
    const kind = way.kind === "here" && this.#reach.ssh.username !== undefined && machine.ip !== "" ? "ssh" : way.kind;
    if (kind === "ssh") {
      const terminal = isTerminal(process.stdin) && isTerminal(process.stdout);
      return this.#bySsh(machine, { command: text, signal, how: attachProgram, mayAsk: true, terminal, forwardAgent });
    }
    const shell = this.#env["SHELL"] ?? "/bin/sh";
    const words: Words = text === undefined ? [shell, "-l"] : [shell, "-c", text];
    const entered = way.kind === "private" ? way.enter(words) : { words, env: {} };
    return attachProgram({
      words: entered.words,
      env: { ...this.#env, ...entered.env },
      signal,
      hint: hereHint,
      missing: "shell-missing",
    });
  }

  async #bySsh<T extends number | Captured>(
    machine: ShellMachine,
    run: Omit<Run<T>, "command"> & {
      readonly command: string | undefined;
      readonly terminal?: boolean;
      readonly forwardAgent?: boolean;
    },
  ): Promise<T> {
    const { ssh } = this.#reach;
    const to = addressOf(machine);
    await prepareKnownHosts(ssh.knownHostsFile, this.#env);
    const folder = await mkdtemp(join(this.#env["TMPDIR"] ?? tmpdir(), "flotilla-ssh-"));
    try {
      const logs = { own: join(folder, "ssh.log"), tunnel: join(folder, "tunnel.log") };
      const { command, terminal = false, forwardAgent = false, signal } = run;
      const mayAsk = run.mayAsk && isTerminal(process.stdin);
      const words = sshWords({ ssh, to, command, mayAsk, terminal, forwardAgent, logs });
      const result = await run.how({
        words: ["ssh", ...words],
        env: this.#env,
        signal,
        hint: sshHint,
        missing: "ssh-missing",
      });
      if ((typeof result === "number" ? result : result.status) !== sshFailedStatus) return result;
      const failure = sshFailure({
        what: name(machine),
        host: to.host,
        own: await readLog(logs.own),
        tunnel: await readLog(logs.tunnel),
        tunnelHost: ssh.tunnel?.host,
      });
      if (failure !== undefined) throw failure;
      return result;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** Ids under which this machine may stand in the cluster: its own, and what its agent was told to take instead. */
  async #ownIds(): Promise<ReadonlySet<string>> {
    const ids = new Set<string>();
    const own = await createHost().machineId();
    if (own.ok) ids.add(own.value);
    if (this.#reach.endpoint.kind !== "unix" || this.#reach.ssh.tunnel !== undefined) return ids;
    try {
      const index = await createApiClient(this.#reach).get("/v2", { timeoutMs: ownIdTimeoutMs });
      if (typeof index === "object" && index !== null && "machine" in index && typeof index.machine === "string") {
        ids.add(index.machine);
      }
    } catch (error) {
      // An agent that does not answer says nothing of itself; whoever has a machine to go to has asked it before
      if (!(error instanceof Problem)) throw error;
    }
    return ids;
  }
}

function addressOf(machine: ShellMachine): SshAddress {
  const address = machine.ip === "" ? undefined : parseSshAddress(machine.ip);
  if (address?.ok === true) return address.value;
  throw new Problem("ssh-address", `Cannot determine the address of ${name(machine)}`, {
    hint: "It publishes none: set [Machine] PublicIP= there",
  });
}

function name({ id, ip }: ShellMachine): string {
  return `machine ${id.slice(0, 8)}...${ip === "" ? "" : `/${ip}`}`;
}

/** ssh makes the file and no folder but its own. */
async function prepareKnownHosts(path: string | undefined, env: Environment): Promise<void> {
  if (path === undefined || !/^(~?\/)/.test(path)) return;
  const folder = dirname(path.replace(/^~/, env["HOME"] ?? homedir()));
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Problem("ssh-known-hosts", `Cannot make the folder of the known hosts file "${path}"`, {
      hint: "--known-hosts-file names another one",
      cause: error,
    });
  }
}

async function readLog(path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).slice(-maxLogBytes);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return ""; // it came to no word
    throw error;
  }
}

/** `isTTY` is undefined, not false, where there is none. */
function isTerminal(stream: { readonly isTTY?: boolean }): boolean {
  return stream.isTTY === true;
}
