// One agent from the built program, on a private machine of its own, with settings as a test wants them: for trying bad
// days. Keeps all that it prints, and asks it as its user would: with the command line.
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { machineHost } from "../../agent/adapters/machine-host.ts";
import type { PrivateMachine } from "../../agent/ports/machine-host.ts";

export const program = new URL("../../dist/main.js", import.meta.url).pathname;

/** By section, then by name: `{ Git: { URL: "..." } }`. An undefined value takes a usual one away. */
export type Settings = Readonly<Record<string, Readonly<Record<string, string | undefined>>>>;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a flotilla is called: its words, and all of its environment. */
export interface Called {
  readonly words: readonly [string, ...string[]];
  readonly env: NodeJS.ProcessEnv;
}

const built: Called = { words: [process.execPath, program], env: { PATH: process.env["PATH"] } };

/** Runs the built program to its end. */
export function flotilla(...args: readonly string[]): Promise<Ended> {
  return runCalled(built, args);
}

export function runCalled({ words: [command, ...first], env }: Called, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(command, [...first, ...args], { env, timeout: 20_000 }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}

export class LoneAgent {
  readonly directory: string;
  readonly socket: string;
  readonly conf: string;
  /** Everything that the agents here have printed. */
  output = "";
  machine: PrivateMachine | undefined;
  /** Put before the agent's command line: a namespace, another user. */
  prefix: readonly string[] = [];
  /** Which flotilla it is: dist/main.js unless set. */
  called: Called = built;
  #agent: { readonly process: ChildProcess; readonly exited: Promise<number | null> } | undefined;

  private constructor(directory: string) {
    this.directory = directory;
    this.socket = join(directory, "api.sock");
    this.conf = join(directory, "flotilla.conf");
  }

  /** A folder, and a machine that runs systemd but no agent yet. */
  static async create({ machine = true } = {}): Promise<LoneAgent> {
    const lone = new LoneAgent(await mkdtemp("/var/tmp/flotilla-test-"));
    try {
      if (machine) await lone.startMachine();
      return lone;
    } catch (error) {
      await lone.close();
      throw error;
    }
  }

  async startMachine(): Promise<void> {
    this.machine = await machineHost.startMachine({ directory: join(this.directory, "machine"), name: "m1" });
  }

  get state(): string {
    return join(this.directory, "state");
  }

  /** The machine's folder of unit files that are the host's own. */
  get unitDirectory(): string {
    return join(this.directory, "machine", "run", "systemd", "user");
  }

  async configure(settings: Settings): Promise<void> {
    const usual: Settings = {
      Machine: { Id: "6d312d2d2d2d2d2d2d2d2d2d2d2d2d2d", Hostname: "m1", PublicIP: "127.0.0.1" },
      Git: { Schedule: "* * * * * *", Jitter: "0" },
      Systemd: {
        Scope: "user",
        Address: `unix:path=${join(this.directory, "machine", "run", "door")}`,
        UnitDirectory: this.unitDirectory,
      },
      Agent: {
        StateDirectory: this.state,
        RunDirectory: join(this.directory, "machine", "flotilla"),
        Socket: this.socket,
      },
    };
    const names = new Set([...Object.keys(usual), ...Object.keys(settings)]);
    const sections = [...names].map((name) => {
      const values = Object.entries({ ...usual[name], ...settings[name] });
      return `[${name}]\n${values.flatMap(([key, value]) => (value === undefined ? [] : `${key}=${value}\n`)).join("")}`;
    });
    await mkdir(this.directory, { recursive: true });
    await writeFile(this.conf, sections.join(""), { mode: 0o600 });
  }

  /** Starts it, with these flags beside its settings, without waiting for anything. */
  launch(...flags: readonly string[]): void {
    assert.equal(this.#agent, undefined, "an agent runs already");
    const [command, ...args] = [
      ...this.prefix,
      ...this.called.words,
      "agent",
      "--config",
      this.conf,
      ...flags,
    ] as const;
    const agent = spawn(command ?? process.execPath, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: this.called.env,
    });
    const add = (text: string): void => void (this.output += text);
    agent.stdout.setEncoding("utf8").on("data", add);
    agent.stderr.setEncoding("utf8").on("data", add);
    const exited = new Promise<number | null>((resolve) => {
      agent.once("close", (code) => {
        this.#agent = undefined;
        resolve(code);
      });
    });
    this.#agent = { process: agent, exited };
  }

  /** Resolves with the exit code of an agent that ends by itself. */
  async ended(timeoutMs = 15_000): Promise<number | null> {
    const agent = this.#agent;
    assert.ok(agent, "no agent runs");
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`The agent has not ended:\n${this.output}`)), timeoutMs);
    });
    return Promise.race([agent.exited, late]).finally(() => clearTimeout(timer));
  }

  /** What the agent has logged, a line each; `only` keeps those with one of these levels. */
  lines(...only: readonly string[]): readonly string[] {
    const lines = this.output.split("\n").filter((line) => line !== "");
    return only.length === 0 ? lines : lines.filter((line) => only.some((level) => line.slice(9, 14).trim() === level));
  }

  get isRunning(): boolean {
    return this.#agent !== undefined;
  }

  get pid(): number {
    assert.ok(this.#agent?.process.pid, "no agent runs");
    return this.#agent.process.pid;
  }

  /** What `flotilla ... --socket` prints of it, complaints included. */
  async ask(...args: readonly string[]): Promise<string> {
    const { stdout, stderr } = await runCalled(this.called, [...args, "--socket", this.socket]);
    return stdout + stderr;
  }

  /** Asks until what is printed matches; what it last was, and the agent's log, go into the failure. */
  async until(pattern: RegExp, args: readonly string[] = ["status"], timeoutMs = 40_000): Promise<string> {
    return this.eventually(
      () => this.ask(...args),
      (text) => pattern.test(text),
      `flotilla ${args.join(" ")} matches ${String(pattern)}`,
      timeoutMs,
    );
  }

  async eventually<T>(
    look: () => Promise<T> | T,
    isIt: (seen: T) => boolean,
    what: string,
    timeoutMs = 40_000,
  ): Promise<T> {
    const endMs = performance.now() + timeoutMs;
    for (;;) {
      const seen = await look();
      if (isIt(seen)) return seen;
      if (performance.now() > endMs)
        throw new Error(`Not seen within ${timeoutMs} ms: ${what}\nlast: ${String(seen)}\nlog:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Ends the agent in good order; its exit code. */
  async stop(): Promise<number | null> {
    const agent = this.#agent;
    if (agent === undefined) return null;
    agent.process.kill("SIGTERM");
    return this.ended();
  }

  async close(): Promise<void> {
    const agent = this.#agent;
    agent?.process.kill("SIGKILL");
    await agent?.exited;
    await this.machine?.kill();
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}
