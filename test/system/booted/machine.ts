// Machines that boot for tests: systemd as process 1 of a container, on an overlay of the host's root with a disk, a /tmp
// and an address of its own. Their network takes them along when it is closed; why.ts says whether there can be any.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, readdir, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { groupsBelow } from "../control-groups.ts";
import { type Network } from "./network.ts";
import {
  bindScript,
  diskScript,
  fillScript,
  freeScript,
  runScript,
  startScript,
  undiskScript,
  writeScript,
} from "./scripts.ts";

/** From the start to process 1: long, for many may start at once on few processors. */
const startTimeoutMs = 15_000;
/** From the start to the target; about a second where nothing else is to be done. */
const bootTimeoutMs = 60_000;
const stopTimeoutMs = 60_000;
const runTimeoutMs = 30_000;
const waitTimeoutMs = 30_000;
const pollMs = 50;
/** What a disk may take of the host's memory; only what is written does. */
const diskSize = "2g";
const consoleChars = 8_192;
/** What nspawn ends with when its machine asked for a reboot (systemd-nspawn(1), --keep-unit). */
const rebootStatus = 133;

/** Text of a file, or a file of the host to be copied. Mode 0644 unless set. */
export type MachineFile =
  string | { readonly text: string; readonly mode?: number } | { readonly from: string; readonly mode?: number };

export interface MachineOptions {
  readonly network: Network;
  /** Small letters, digits and -, at most 32; what the machine is called until something else is written to /etc/hostname. */
  readonly name: string;
  /** Of the bridge's network, without prefix. */
  readonly address: string;
  /** By path in the machine: written to every new disk before its first boot. */
  readonly files?: Readonly<Record<string, MachineFile>>;
  /** By path in the machine: files or folders of the host that are seen there, read-only. */
  readonly binds?: Readonly<Record<string, string>>;
  /** Units that start at boot, besides those that cannot be without. None: not even those that packages enable. */
  readonly enable?: readonly string[];
  /** What a kernel's command line would say: `ds=ec2`. */
  readonly words?: readonly string[];
}

export interface BootOptions {
  /** The unit that has to be active; `multi-user.target` unless set. */
  readonly until?: string;
  /** 60 s unless set. */
  readonly timeoutMs?: number;
}

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Buffer;
  /** 30 s unless set. */
  readonly timeoutMs?: number;
}

/** What systemd says of a unit. */
export interface UnitState {
  readonly load: string;
  readonly active: string;
  readonly sub: string;
  readonly result: string;
}

/** A machine that has booted. */
export async function bootMachine(options: MachineOptions & BootOptions): Promise<BootedMachine> {
  const machine = await createMachine(options);
  await machine.boot(options);
  return machine;
}

/** A machine with a new disk, switched off. */
export async function createMachine(options: MachineOptions): Promise<BootedMachine> {
  assert.match(options.name, /^[a-z0-9][a-z0-9-]{0,31}$/);
  const { network, name, address } = options;
  const machine = new BootedMachine(options, await network.plug(name, address));
  await machine.newDisk();
  return machine;
}

export class BootedMachine {
  readonly name: string;
  readonly address: string;
  readonly #options: MachineOptions;
  readonly #network: Network;
  /** Its end on the bridge. */
  readonly port: string;
  /** In the world: where its disk is. */
  readonly #directory: string;
  readonly #group: string;
  #container: Container | undefined;
  #console = "";

  constructor(options: MachineOptions, port: string) {
    this.name = options.name;
    this.address = options.address;
    this.#options = options;
    this.#network = options.network;
    this.port = port;
    this.#directory = `/run/machines/${options.name}`;
    this.#group = join(options.network.group, options.name);
  }

  /** False also for the moment between the end of one boot and the start of the next. */
  get running(): boolean {
    return this.#container !== undefined;
  }

  /** Process 1 of the machine, as seen from here; another one after each boot. */
  get pid(): number {
    assert.ok(this.#container?.init, `${this.name} is switched off`);
    return this.#container.init;
  }

  /** An empty disk with the options' files, for a machine that is switched off. Its machine id is new. */
  async newDisk(): Promise<void> {
    const { files = {}, binds = {}, enable = [] } = this.#options;
    const id = randomBytes(16).toString("hex");
    await this.#network.inWorld(diskScript, [this.#directory, diskSize, this.name, id]);
    for (const [path, file] of Object.entries(files)) await this.write(path, file);
    for (const [to, from] of Object.entries(binds))
      await this.#network.inWorld(bindScript, [this.#directory, from, to]);
    if (enable.length > 0) {
      const root = `--root=${this.#directory}/root`;
      await this.#network.inWorld('exec systemctl --quiet "$@"', [root, "enable", "--", ...enable]);
    }
  }

  /** Writes to the disk, whether the machine runs or not; folders on the way are made. */
  async write(path: string, file: MachineFile): Promise<void> {
    assert.ok(path.startsWith("/"), `no absolute path: ${path}`);
    const { mode = 0o644 } = typeof file === "string" ? {} : file;
    const input = typeof file === "string" ? file : "text" in file ? file.text : await readFile(file.from);
    const args = ["-c", writeScript, "write", path, mode.toString(8)];
    if (this.running) {
      const ran = await this.run(["sh", ...args], { input });
      assert.equal(ran.status, 0, ran.stderr);
    } else {
      const root = `${this.#directory}/root`;
      await this.#network.inWorld('exec chroot "$@"', [root, "/bin/sh", ...args], { input });
    }
  }

  /** Switches it on, with the disk that it has. Rejects, with what is known of the reason, when it does not come up. */
  async boot(options: BootOptions = {}): Promise<void> {
    assert.ok(!this.running, `${this.name} runs already`);
    await this.#start();
    await this.#up(options);
  }

  async #start(): Promise<void> {
    await mkdir(this.#group);
    const { words = [] } = this.#options;
    const args = [this.#group, String(this.#network.pid), this.#directory, this.name, ...words];
    const process = spawn("setpriv", ["--pdeathsig", "KILL", "--", "sh", "-c", startScript, "start", ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const hear = (text: string): void => void (this.#console = (this.#console + text).slice(-consoleChars));
    process.stdout.setEncoding("utf8").on("data", hear);
    process.stderr.setEncoding("utf8").on("data", hear);
    const exited = once(process, "exit").then(([code]) => this.#ended(code as number | null));
    this.#network.attend(exited);
    const container: Container = { process, init: undefined, exited };
    this.#container = container;
    container.init = await this.#findInit(container);
  }

  /** A machine that asked for a reboot is started again, as it would be anywhere. */
  async #ended(status: number | null): Promise<void> {
    this.#container = undefined;
    await removeGroup(this.#group);
    if (status === rebootStatus) await this.#start();
  }

  /** Process 1 is nspawn's child with that number in its own namespace, and nspawn is nsenter's child. */
  async #findInit(container: Container): Promise<number> {
    const endMs = performance.now() + startTimeoutMs;
    while (performance.now() < endMs && this.#container === container) {
      const [nspawn] = await childrenOf(container.process.pid ?? 0);
      for (const pid of nspawn === undefined ? [] : await childrenOf(nspawn)) {
        const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => ""); // it ended meanwhile
        if (/^NSpid:(\t\d+){2,}\t1$/m.test(status)) return pid;
      }
      await pause();
    }
    await this.powerCut();
    throw new Error(`${this.name} does not start: ${this.#console.trim() || "no word from systemd-nspawn"}`);
  }

  async #up({ until = "multi-user.target", timeoutMs = bootTimeoutMs }: BootOptions): Promise<void> {
    await this.waitForUnit(until, { timeoutMs });
  }

  /**
   * A command within the machine, as root, with a plain environment. Its status is 137 when it took too long. One that runs
   * while the machine goes down delays that by 10 s, for systemd does not hear of its end: wait for a new `pid` first.
   */
  async run(command: readonly string[], { input, timeoutMs = runTimeoutMs }: RunOptions = {}): Promise<Ran> {
    const { pid } = this;
    // Where its process 1 is, so that the machine has the command in a control group that it can see.
    const group = await this.#groupOfInit();
    const child = spawn("sh", ["-c", runScript, "run", group, String(pid), ...command], {
      stdio: "pipe",
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.stdin.on("error", () => undefined); // it may end without reading all
    child.stdin.end(input);
    const [code] = (await once(child, "close")) as [number | null];
    return { status: code ?? 137, stdout, stderr };
  }

  /** Where its control groups begin, as seen from here: below are system.slice and the like. Another one after each boot. */
  async controlGroup(): Promise<string> {
    return dirname(await this.#groupOfInit());
  }

  async #groupOfInit(): Promise<string> {
    const own = /^0::(.*)$/m.exec(await readFile(`/proc/${this.pid}/cgroup`, "utf8"))?.[1];
    assert.ok(own !== undefined);
    return join(this.#group, own.slice(own.indexOf(`/${this.name}`) + this.name.length + 1));
  }

  /** A path of its disk, as seen from here; also of a machine that is switched off. */
  onDisk(path: string): string {
    return join(`/proc/${this.#network.pid}/root`, this.#directory, "root", path);
  }

  /** Leaves no byte free on its disk, until `freeDisk`. */
  async fillDisk(): Promise<void> {
    await this.#network.inWorld(fillScript, [this.#directory]);
  }

  async freeDisk(): Promise<void> {
    await this.#network.inWorld(freeScript, [this.#directory, diskSize]);
  }

  /** The output of a command that has to succeed. */
  async output(command: readonly string[], options: RunOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.run(command, options);
    if (status !== 0) throw new Error(`${this.name}: ${command.join(" ")}: status ${status}: ${stderr.trim()}`);
    return stdout;
  }

  async read(path: string): Promise<string> {
    return this.output(["cat", "--", path]);
  }

  async unit(name: string): Promise<UnitState> {
    const properties = "--property=LoadState,ActiveState,SubState,Result";
    const text = await this.output(["systemctl", "show", properties, "--", name]);
    const value = (key: string): string => new RegExp(`^${key}=(.*)$`, "m").exec(text)?.[1] ?? "";
    return { load: value("LoadState"), active: value("ActiveState"), sub: value("SubState"), result: value("Result") };
  }

  async waitForUnit(
    name: string,
    { active = "active", timeoutMs }: { active?: string; timeoutMs?: number } = {},
  ): Promise<void> {
    await this.waitFor(`${name} ${active}`, async () => (await this.unit(name)).active === active, { timeoutMs });
  }

  /**
   * Looks until the condition gives something other than undefined and false; what went wrong last, the console and the
   * journal's end go into the failure. 30 s unless set.
   */
  async waitFor<T>(
    what: string,
    condition: () => Promise<T | undefined | false>,
    { timeoutMs = waitTimeoutMs }: { timeoutMs?: number | undefined } = {},
  ): Promise<T> {
    const endMs = performance.now() + timeoutMs;
    let failure: unknown;
    while (performance.now() < endMs) {
      try {
        const found = await condition();
        if (found !== undefined && found !== false) return found;
        failure = undefined;
      } catch (error) {
        failure = error;
      }
      await pause();
    }
    const journal = await this.journal().catch((error: unknown) => String(error));
    throw new Error(
      `${this.name}: not seen within ${timeoutMs} ms: ${what}\nconsole: ${this.#console}\njournal: ${journal.slice(-consoleChars)}`,
      { cause: failure },
    );
  }

  /** This boot's journal, of one unit or of all; oldest first, the last 200 lines unless set. */
  async journal(unit?: string, { lines = 200 }: { lines?: number } = {}): Promise<string> {
    const only = unit === undefined ? [] : ["--unit", unit];
    return this.output([
      "journalctl",
      "--boot",
      "--no-pager",
      "--quiet",
      "--output=short-precise",
      "--lines",
      String(lines),
      ...only,
    ]);
  }

  /** Whether somebody can work as this user at a console: it exists, its shell runs, no module of PAM is against it. */
  async canLogIn(user: string): Promise<boolean> {
    return (await this.run(["su", "--login", user, "--command", "true"])).status === 0;
  }

  /** A command over ssh, from elsewhere in the network, with a key of the host's; ssh.service has to run. */
  async ssh(
    user: string,
    { keyFile, command, timeoutMs = runTimeoutMs }: { keyFile: string; command: string; timeoutMs?: number },
  ): Promise<string> {
    const options = [
      "BatchMode=yes",
      "StrictHostKeyChecking=no",
      "UserKnownHostsFile=/dev/null",
      "LogLevel=ERROR",
      "IdentitiesOnly=yes",
    ];
    const flags = options.flatMap((option) => ["-o", option]);
    return this.#network.run(["ssh", "-F", "none", ...flags, "-i", keyFile, `${user}@${this.address}`, command], {
      timeoutMs,
    });
  }

  /** Asks it to switch itself off, and waits until it has. */
  async powerOff(): Promise<void> {
    const container = this.#container;
    await this.run(["systemctl", "--no-block", "poweroff"]);
    await this.#bounded(container?.exited, "power off");
  }

  /** Asks it to reboot, and waits until it is up again on the same disk. */
  async reboot(options: BootOptions = {}): Promise<void> {
    const container = this.#container;
    await this.run(["systemctl", "--no-block", "reboot"]);
    await this.#bounded(container?.exited, "reboot");
    await this.#up(options);
  }

  async #bounded(ended: Promise<unknown> | undefined, what: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), stopTimeoutMs);
    });
    const outcome = await Promise.race([ended, late]);
    clearTimeout(timer);
    if (outcome !== "late") return;
    const journal = await this.journal().catch((error: unknown) => String(error));
    throw new Error(`${this.name} does not ${what} within ${stopTimeoutMs} ms\n${journal.slice(-consoleChars)}`);
  }

  /** Ends it within an instant. The disk stays as it is: what was written is there, as the host's kernel goes on. */
  async powerCut(): Promise<void> {
    const container = this.#container;
    if (container === undefined) return;
    const pids = container.init === undefined ? await processesOf(this.#group) : [container.init];
    for (const pid of pids) kill(pid);
    await container.exited;
  }

  /** As if its disk had been lost: switched off within an instant, and with an empty disk as at first. */
  async replaceDisk(): Promise<void> {
    await this.powerCut();
    await this.#network.inWorld(undiskScript, [this.#directory]);
    await this.newDisk();
  }

  /** Gone for good, with its disk; its name and address are free for another. */
  async destroy(): Promise<void> {
    await this.powerCut();
    await this.#network.inWorld(undiskScript, [this.#directory]);
    await this.#network.inWorld('ip link delete "$1"; ip netns delete "$2"', [this.port, this.name]);
  }

  /** Pulls its network cable. */
  async unplug(): Promise<void> {
    await this.#network.inWorld('ip link set "$1" down', [this.port]);
  }

  async replug(): Promise<void> {
    await this.#network.inWorld('ip link set "$1" up', [this.port]);
  }
}

interface Container {
  readonly process: ChildProcess;
  init: number | undefined;
  /** After its control group is cleared away, and it is started again if it asked for that. */
  readonly exited: Promise<void>;
}

/** Of a process with a single thread. */
async function childrenOf(pid: number): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => ""); // it ended meanwhile
  return text
    .split(" ")
    .filter((word) => word !== "")
    .map(Number);
}

async function processesOf(group: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const folder of [group, ...(await groupsBelow(group))]) {
    const text = await readFile(join(folder, "cgroup.procs"), "utf8").catch(() => ""); // it went meanwhile
    found.push(
      ...text
        .split("\n")
        .filter((line) => line !== "")
        .map(Number),
    );
  }
  return found;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error; // it was gone already
  }
}

/** Deepest first. Its last processes may take a moment to be gone, and the network may clear it away at the same time. */
async function removeGroup(group: string): Promise<void> {
  const endMs = performance.now() + startTimeoutMs;
  for (;;) {
    try {
      const entries = await readdir(group, { withFileTypes: true });
      for (const entry of entries) if (entry.isDirectory()) await removeGroup(join(group, entry.name));
      await rmdir(group);
      return;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
      if (performance.now() > endMs) throw error;
      await pause();
    }
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, pollMs));
}
