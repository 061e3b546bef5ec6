// What booted machines find around them in tests of the first boot: a discovery service (the program itself), a repository
// of units over HTTP, and the user-data of cloud-config/ with these two put in.
import assert from "node:assert/strict";
import { type ChildProcess, execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { UnitReport } from "../../agent/domain/report.ts";
import { type BootedMachine, type MachineFile, createMachine } from "./booted/machine.ts";
import { flotillaParts } from "./booted/flotilla.ts";
import { noCloudSeed } from "./booted/metadata.ts";
import { Network } from "./booted/network.ts";
import { type GitServer, startGitServer } from "./git-server.ts";
import { UnitsRepository } from "./units-repository.ts";

const program = new URL("../../dist/main.js", import.meta.url).pathname;
/** What the package installs, where it has been built; machines need no Node then. */
const executable = new URL("../../dist/flotilla", import.meta.url).pathname;
const discoveryPort = 8087;
/** Of a machine's name, in order: m1 has 10.77.0.11. */
const firstAddress = 10;

export interface FirstBootsOptions {
  readonly units: Readonly<Record<string, string>>;
}

/** PEM files on this computer. */
export interface TlsPaths {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** What a provider gives a machine. */
export interface Provided {
  /** In its NoCloud folder; undefined: it has to ask for it. */
  readonly userData?: string;
  readonly ssh?: boolean;
  readonly words?: readonly string[];
  readonly files?: Readonly<Record<string, MachineFile>>;
}

export class FirstBoots {
  readonly network: Network;
  readonly directory: string;
  readonly units: UnitsRepository;
  readonly #git: GitServer;
  readonly #key: string;
  /** As it stands in an authorized_keys file; `ssh` has the other half. */
  readonly publicKey: string;
  #discovery: ChildProcess | undefined;
  readonly #machines = new Set<BootedMachine>();

  private constructor(
    network: Network,
    parts: { directory: string; git: GitServer; units: UnitsRepository; publicKey: string },
  ) {
    this.network = network;
    this.directory = parts.directory;
    this.#git = parts.git;
    this.units = parts.units;
    this.#key = join(parts.directory, "key");
    this.publicKey = parts.publicKey;
  }

  static async open({ units }: FirstBootsOptions): Promise<FirstBoots> {
    const directory = await mkdtemp("/var/tmp/flotilla-boots-");
    const network = await Network.open();
    try {
      const key = join(directory, "key");
      await promisify(execFile)("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key]);
      const publicKey = (await readFile(`${key}.pub`, "utf8")).trim();
      const git = await startGitServer({
        directory: join(directory, "git"),
        listen: (server) => network.listen(server),
      });
      const repository = await UnitsRepository.make({ directory: join(directory, "work"), origin: git.repository });
      const boots = new FirstBoots(network, { directory, git, units: repository, publicKey });
      await repository.commit(units);
      await boots.startDiscovery();
      return boots;
    } catch (error) {
      await network.close();
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.stopDiscovery();
    await this.#git.close();
    await this.network.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** `flotilla discovery serve`, in the machines' network; what it keeps outlives it. */
  async startDiscovery(tls?: TlsPaths): Promise<void> {
    const { address } = this.network;
    const encrypted = tls === undefined ? [] : ["--cert-file", tls.cert, "--key-file", tls.key];
    const serve = ["discovery", "serve", "--listen", `${address}:${discoveryPort}`, ...encrypted];
    const child = this.network.spawn([
      process.execPath,
      program,
      ...serve,
      "--directory",
      join(this.directory, "discovery"),
    ]);
    this.#discovery = child;
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
    child.stdout?.resume();
    for (const until = performance.now() + 10_000; !said.includes("Serving discovery");) {
      assert.ok(performance.now() < until && child.exitCode === null, `discovery serve: ${said}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stopDiscovery(): Promise<void> {
    const child = this.#discovery;
    this.#discovery = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    await exited;
  }

  /** As an operator makes it: the URL of a new token. */
  async newToken(size: number, tls?: TlsPaths): Promise<string> {
    const at = `${tls === undefined ? "http" : "https"}://${this.network.address}:${discoveryPort}`;
    const trusted = tls === undefined ? [] : ["--ca-file", tls.ca];
    const words = [process.execPath, program, "discovery", "new", "--size", String(size), "--at", at, ...trusted];
    return (await this.network.run(words)).trim();
  }

  /** An example of cloud-config/ with what it says CHANGE at put in; `more` has the last word, text for text. */
  async userData(
    example: string,
    { discovery, more = {} }: { readonly discovery?: string; readonly more?: Readonly<Record<string, string>> } = {},
  ): Promise<string> {
    let text = await readFile(new URL(`../../cloud-config/${example}`, import.meta.url), "utf8");
    text = text
      .replaceAll(/ssh-ed25519 \S+ you@example/g, this.publicKey)
      .replaceAll("https://git.example/units.git", this.#git.url)
      .replaceAll(/https?:\/\/10\.0\.0\.2:8087\/[0-9a-f]{32}/g, discovery ?? "$&");
    for (const [from, to] of Object.entries(more)) {
      assert.ok(text.includes(from), `${example} has no ${from}`);
      text = text.replaceAll(from, to);
    }
    return text;
  }

  /** A machine as it comes from its provider, switched off: flotilla installed, user-data in its NoCloud folder. */
  async machine(name: string, { userData, ssh = false, words = [], files = {} }: Provided): Promise<BootedMachine> {
    const parts = await flotillaParts(existsSync(executable) ? { executable } : {});
    const number = Number(/\d+$/.exec(name)?.[0]);
    const metaData = `instance-id: i-${name}\nlocal-hostname: ${name}\n`;
    const machine = await createMachine({
      network: this.network,
      name,
      address: `10.77.0.${firstAddress + number}`,
      binds: parts.binds,
      files: { ...parts.files, ...(userData === undefined ? {} : noCloudSeed({ userData, metaData })), ...files },
      words,
      enable: ["flotilla-bootstrap.service", ...(ssh ? ["ssh.service"] : [])],
    });
    this.#machines.add(machine);
    return machine;
  }

  /** After each test, also one that failed half-way: its machines' names and addresses are the next one's. */
  async clear(): Promise<void> {
    const machines = [...this.#machines];
    this.#machines.clear();
    await Promise.all(machines.map((machine) => machine.destroy()));
  }

  /** With the key that the user-data names. */
  ssh(machine: BootedMachine, { user, command }: { readonly user: string; readonly command: string }): Promise<string> {
    return machine.ssh(user, { keyFile: this.#key, command });
  }
}

/** `flotilla list-units --json` on this machine. */
export async function listUnits(machine: BootedMachine): Promise<readonly UnitReport[]> {
  const { units } = JSON.parse(await machine.output(["flotilla", "list-units", "--json"])) as { units: UnitReport[] };
  return units;
}

/** How `flotilla bootstrap status` ends, and what it says. */
export async function bootStatus(
  machine: BootedMachine,
  ...flags: readonly string[]
): Promise<{ readonly code: number; readonly text: string }> {
  const ran = await machine.run(["flotilla", "bootstrap", "status", ...flags], { timeoutMs: 60_000 });
  return { code: ran.status, text: ran.stdout + ran.stderr };
}

/** Names of the members that etcd on this machine knows, in name order. */
export async function etcdMembers(machine: BootedMachine): Promise<readonly string[]> {
  const ask = ["curl", "--silent", "--max-time", "5", "-d", "{}", "http://127.0.0.1:2379/v3/cluster/member/list"];
  const { members = [] } = JSON.parse(await machine.output(ask)) as { members?: readonly { name?: string }[] };
  return members.map(({ name = "" }) => name).sort();
}
