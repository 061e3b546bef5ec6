// Real repositories, an ssh server and settings for the tests of the git adapter. Everything lies in one folder of the test's
// own and goes with it.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { createClock } from "../../agent/adapters/clock.ts";
import { createGit } from "../../agent/adapters/git/git.ts";
import { type CommitId, parseCommitId } from "../../agent/domain/names.ts";
import type { GitSettings } from "../../agent/domain/settings.ts";
import type { Git } from "../../agent/ports/git.ts";
import type { Log } from "../../agent/ports/log.ts";
import type { FakeFiles } from "../fakes/fake-git.ts";
import { silentLog } from "../fakes/silent-log.ts";

const run = promisify(execFile);

export async function scratch(): Promise<string> {
  return await mkdtemp("/var/tmp/flotilla-git-");
}

export async function discard(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/** A bare repository whose commits are made without a working copy. */
export class TestRepository {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  static async make(path: string): Promise<TestRepository> {
    if (!existsSync(path)) await run("git", ["init", "--quiet", "--bare", "--initial-branch=main", path]);
    return new TestRepository(path);
  }

  async git(...args: string[]): Promise<string> {
    return (await run("git", ["-C", this.path, ...args], { maxBuffer: 64 * 1024 * 1024 })).stdout.trim();
  }

  /** A commit on the branch whose whole tree is `files`. */
  async commit(files: FakeFiles, { subject = "A commit", branch = "main" } = {}): Promise<CommitId> {
    const has = await this.git("rev-parse", "--verify", "--quiet", `refs/heads/${branch}`).catch(() => "");
    const parts: (string | Buffer)[] = [
      `commit refs/heads/${branch}\ncommitter Test <test@localhost> now\n`,
      data(subject),
      has === "" ? "" : `from ${has}\n`,
      "deleteall\n",
    ];
    for (const [path, content] of Object.entries(files)) {
      if (typeof content !== "string") parts.push(`M 160000 ${"1".repeat(40)} ${path}\n`);
      else if (content.startsWith("-> ")) parts.push(`M 120000 inline ${path}\n`, data(content.slice(3)));
      else parts.push(`M 100644 inline ${path}\n`, data(content));
    }
    await feed(
      "git",
      ["-C", this.path, "fast-import", "--quiet", "--force", "--date-format=now"],
      Buffer.concat(parts.map((part) => Buffer.from(part))),
    );
    return asCommit(await this.git("rev-parse", `refs/heads/${branch}`));
  }

  async reset(commit: CommitId): Promise<void> {
    await this.git("update-ref", "refs/heads/main", commit);
  }
}

function data(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from(`data ${bytes.length}\n`), bytes, Buffer.from("\n")]);
}

export function asCommit(text: string): CommitId {
  const id = parseCommitId(text);
  if (!id.ok) throw new Error(`Not a commit: ${text}`);
  return id.value;
}

async function feed(command: string, args: readonly string[], input: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["pipe", "ignore", "pipe"] });
    let complaint = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
    child.once("error", reject);
    child.once("close", (code) => (code === 0 ? resolve() : reject(new Error(`${command}: ${complaint}`))));
    child.stdin.end(input);
  });
}

export function gitSettings(more: Partial<GitSettings> & { readonly url: string }): GitSettings {
  return {
    branch: "main",
    path: "units",
    schedule: "*/30 * * * * *",
    jitterMs: 0,
    token: undefined,
    username: undefined,
    password: undefined,
    caFile: undefined,
    sshKeyFile: undefined,
    knownHostsFile: undefined,
    timeoutMs: 30_000,
    ...more,
  };
}

/** The adapter with a store in `directory` and, unless given, an environment without proxies. */
export function openGit(
  settings: Partial<GitSettings> & { readonly url: string },
  more: { directory: string; log?: Log; environment?: Readonly<Record<string, string | undefined>> },
): Git {
  return createGit({
    settings: gitSettings(settings),
    directory: more.directory,
    clock: createClock(),
    log: more.log ?? silentLog,
    environment: more.environment ?? { PATH: process.env["PATH"], HOME: more.directory },
  });
}

export const sshServerProgram = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].find((path) => existsSync(path));

export interface SshServer {
  readonly port: number;
  readonly keyFile: string;
  readonly otherKeyFile: string;
  readonly knownHostsFile: string;
  /** `ssh://user@127.0.0.1:port` + path. */
  url(path: string): string;
  close(): Promise<void>;
}

/** sshd on loopback with keys of its own; it lets in the user that runs the tests. `more`: settings as in sshd_config(5). */
export async function startSshServer(
  directory: string,
  more: Readonly<Record<string, string>> = {},
): Promise<SshServer> {
  if (sshServerProgram === undefined) throw new Error("There is no sshd on this machine");
  await mkdir(directory, { recursive: true, mode: 0o700 });
  // sshd's own folder, which the package makes at boot
  if (process.getuid?.() === 0) await mkdir("/run/sshd", { recursive: true, mode: 0o755 });
  const at = (name: string) => join(directory, name);
  for (const name of ["host", "user", "stranger"])
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", at(name)]);
  await writeFile(at("authorized"), await readFile(at("user.pub")));
  await chmod(at("authorized"), 0o600);
  const port = await freePort();
  const config = {
    ListenAddress: "127.0.0.1",
    Port: port,
    HostKey: at("host"),
    AuthorizedKeysFile: at("authorized"),
    PidFile: "none",
    UsePAM: "no",
    StrictModes: "no",
    PermitRootLogin: "prohibit-password",
    PasswordAuthentication: "no",
    KbdInteractiveAuthentication: "no",
    ...more,
  };
  await writeFile(
    at("config"),
    Object.entries(config)
      .map((each) => `${each.join(" ")}\n`)
      .join(""),
  );
  const child = spawn(sshServerProgram, ["-D", "-e", "-f", at("config")], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (log = (log + text).slice(-10_000)));
  await untilListening({ port, child, log: () => log });
  const [kind, key] = (await readFile(at("host.pub"), "utf8")).split(" ");
  await writeFile(at("known"), `[127.0.0.1]:${port} ${kind ?? ""} ${key ?? ""}\n`);
  const user = (await run("id", ["-un"])).stdout.trim();
  return {
    port,
    keyFile: at("user"),
    otherKeyFile: at("stranger"),
    knownHostsFile: at("known"),
    url: (path) => `ssh://${user}@127.0.0.1:${port}${path}`,
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await gone;
    },
  };
}

/** A port on loopback where nobody listens. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function untilListening(server: { port: number; child: ChildProcess; log: () => string }): Promise<void> {
  const endMs = performance.now() + 20_000;
  while (performance.now() < endMs && server.child.exitCode === null) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(server.port, "127.0.0.1");
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
      socket.once("connect", () => socket.destroy());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  server.child.kill("SIGKILL");
  throw new Error(`sshd did not begin to listen: ${server.log()}`);
}
