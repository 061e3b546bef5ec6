// Real etcd for tests: members on loopback ports with data of their own, which can be stopped, frozen and started again;
// with TLS and users on request. Everything it starts ends with `close`, by process id, and its folder is removed.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, createWriteStream, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { request } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** All members, answering. */
export async function startEtcd(options: EtcdOptions = {}): Promise<EtcdServer> {
  const server = new EtcdServer(options, await freePorts((options.members ?? 1) * 2));
  try {
    await server.start();
  } catch (error) {
    await server.close();
    throw error;
  }
  return server;
}

/** Where etcd is, or undefined: then tests that need it are left out. */
export function findEtcd(): string | undefined {
  try {
    return execFileSync("sh", ["-c", "command -v etcd"], { encoding: "utf8" }).trim();
  } catch {
    return undefined; // not installed: the caller says so
  }
}

/** For `skip` of node:test: false, or why. */
export const withoutEtcd: false | string =
  findEtcd() === undefined ? "etcd is not installed (Debian: apt-get install etcd-server)" : false;

export interface EtcdOptions {
  /** 1 unless set. */
  readonly members?: number;
  /** Serve clients over TLS, and ask them for a certificate. */
  readonly tls?: boolean;
  /** Advertise client URLs that nobody can use, so that clients stay with the endpoints that they were given. */
  readonly isHidden?: boolean;
  /** Where data and logs go; the caller's to remove. A folder of its own unless set. */
  readonly directory?: string;
}

export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** An authority that signed nothing here. */
  readonly otherCa: string;
}

const readyMs = 20_000;

interface Member {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  /** Came after the first start: it is told that the cluster exists. */
  readonly isLate: boolean;
  isGone: boolean;
  process: ChildProcess | undefined;
}

export class EtcdServer {
  readonly directory: string;
  readonly tls: TlsFiles | undefined;
  readonly #members: Member[];
  readonly #isOwnDirectory: boolean;
  readonly #isHidden: boolean;

  constructor(options: EtcdOptions, ports: readonly number[]) {
    this.#isOwnDirectory = options.directory === undefined;
    this.#isHidden = options.isHidden === true;
    this.directory = options.directory ?? mkdtempSync(join(tmpdir(), "flotilla-etcd-"));
    mkdirSync(this.directory, { recursive: true });
    this.tls = options.tls === true ? makeTls(this.directory) : undefined;
    this.#members = Array.from({ length: ports.length / 2 }, (_, index) => ({
      name: `m${index}`,
      clientPort: ports[index * 2]!,
      peerPort: ports[index * 2 + 1]!,
      isLate: false,
      isGone: false,
      process: undefined,
    }));
    process.once("exit", this.#onExit);
    process.once("SIGTERM", this.#onSignal);
  }

  /** Starts every member that does not run, on the data that is there; resolves when all answer. */
  async start(): Promise<void> {
    const stopped = this.#members.flatMap((each, member) => (each.isGone || isRunning(each.process) ? [] : [member]));
    for (const member of stopped) this.#spawn(member);
    for (const member of stopped) await this.#ready(member);
  }

  /** Kills every member; the data stays. */
  async stop(): Promise<void> {
    for (let member = 0; member < this.#members.length; member++) await this.kill(member);
  }

  /** Kills every member and takes its own folder away. */
  async close(): Promise<void> {
    process.removeListener("exit", this.#onExit);
    process.removeListener("SIGTERM", this.#onSignal);
    await this.stop();
    if (this.#isOwnDirectory) rmSync(this.directory, { recursive: true, force: true });
  }

  /** The first member's. */
  get url(): string {
    return this.endpoint();
  }

  /** Calls and streams that clients have opened on all members since they started. */
  async requests(): Promise<number> {
    let sum = 0;
    for (const endpoint of this.endpoints) {
      const metrics = await (await fetch(`${endpoint}/metrics`, { signal: AbortSignal.timeout(5_000) })).text();
      for (const [, count] of metrics.matchAll(/^grpc_server_started_total\{[^}]*\} (\S+)$/gm)) sum += Number(count);
    }
    return sum;
  }

  get endpoints(): readonly string[] {
    return this.#members.flatMap(({ isGone }, member) => (isGone ? [] : [this.endpoint(member)]));
  }

  peerUrl(member = 0): string {
    return `http://127.0.0.1:${this.#members[member]!.peerPort}`;
  }

  /** Kills a member and takes its data away, as if its machine were lost. The cluster has yet to be told. */
  async lose(member: number): Promise<void> {
    await this.kill(member);
    const lost = this.#members[member]!;
    lost.isGone = true;
    rmSync(join(this.directory, lost.name), { recursive: true, force: true });
  }

  /** A place for one more member, at ports of its own; resolves to its number. It starts with `start`. */
  async prepareMember(): Promise<number> {
    const [clientPort, peerPort] = await freePorts(2);
    const name = `m${this.#members.length}`;
    const place = {
      name,
      clientPort: clientPort!,
      peerPort: peerPort!,
      isLate: true,
      isGone: false,
      process: undefined,
    };
    return this.#members.push(place) - 1;
  }

  endpoint(member = 0): string {
    return `${this.tls === undefined ? "http" : "https"}://localhost:${this.port(member)}`;
  }

  port(member = 0): number {
    return this.#members[member]!.clientPort;
  }

  /** SIGKILL and started again on the same data; resolves when it answers. */
  async restart(member = 0): Promise<void> {
    await this.kill(member);
    this.#spawn(member);
    await this.#ready(member);
  }

  async kill(member = 0): Promise<void> {
    const { process } = this.#members[member]!;
    if (process === undefined || !isRunning(process)) return;
    const ended = once(process, "exit");
    process.kill("SIGKILL");
    await ended;
  }

  /** Returns when it is: the kernel stops one thread after the other, and until the last it may still answer. */
  freeze(member = 0): void {
    const { process } = this.#members[member]!;
    if (process?.pid === undefined) return;
    process.kill("SIGSTOP");
    const endMs = performance.now() + 1_000;
    while (!isStopped(process.pid)) if (performance.now() > endMs) throw new Error("etcd cannot be frozen");
  }

  thaw(member = 0): void {
    this.#members[member]!.process?.kill("SIGCONT");
  }

  /** Makes a backup of every member's data; resolves, when all answer again, to what puts it back and starts them on that. */
  async backUp(): Promise<() => Promise<void>> {
    const folders = this.#members.filter(({ isGone }) => !isGone).map(({ name }) => join(this.directory, name));
    await this.stop();
    for (const folder of folders) cpSync(folder, `${folder}.backup`, { recursive: true });
    await this.start();
    return async () => {
      await this.stop();
      for (const folder of folders) {
        rmSync(folder, { recursive: true, force: true });
        cpSync(`${folder}.backup`, folder, { recursive: true });
      }
      await this.start();
    };
  }

  /** Calls etcd's own JSON gateway, without the adapter under test. Rejects with etcd's text. */
  async call(path: string, body: object, options: { member?: number; token?: string } = {}): Promise<unknown> {
    const text = await this.#post(path, { body: JSON.stringify(body), ...options });
    const answer: unknown = JSON.parse(text);
    if (typeof answer === "object" && answer !== null && "error" in answer) throw new Error(String(answer.error));
    return answer;
  }

  /** The store's present revision. */
  async revision(token?: string): Promise<number> {
    const answer = (await this.call("/v3/kv/range", { key: base64("none") }, token === undefined ? {} : { token })) as {
      header: { revision: string };
    };
    return Number(answer.header.revision);
  }

  async compact(): Promise<void> {
    await this.call("/v3/kv/compaction", { revision: String(await this.revision()), physical: true });
  }

  /** Users root and `name`; the latter may read and write keys under `prefix` only. */
  async enableAuth(user: { name: string; password: string; prefix: string }): Promise<void> {
    const end = `${user.prefix.slice(0, -1)}${String.fromCharCode(user.prefix.charCodeAt(user.prefix.length - 1) + 1)}`;
    await this.call("/v3/auth/user/add", { name: "root", password: "rootpass" });
    await this.call("/v3/auth/role/add", { name: "root" });
    await this.call("/v3/auth/user/grant", { user: "root", role: "root" });
    await this.call("/v3/auth/user/add", { name: user.name, password: user.password });
    await this.call("/v3/auth/role/add", { name: "fleet" });
    await this.call("/v3/auth/role/grant", {
      name: "fleet",
      perm: { permType: "READWRITE", key: base64(user.prefix), range_end: base64(end) },
    });
    await this.call("/v3/auth/user/grant", { user: user.name, role: "fleet" });
    await this.call("/v3/auth/enable", {});
  }

  readonly #onExit = (): void => {
    for (const { process } of this.#members) process?.kill("SIGKILL");
    if (this.#isOwnDirectory) rmSync(this.directory, { recursive: true, force: true });
  };

  /** The test runner ends files that take too long with SIGTERM, which by itself would skip the above. */
  readonly #onSignal = (): void => process.exit(143);

  #spawn(index: number): void {
    const { name, peerPort, isLate } = this.#members[index]!;
    const present = this.#members.filter(({ isGone }) => !isGone);
    const peers = present.map((each) => `${each.name}=http://127.0.0.1:${each.peerPort}`).join(",");
    const tls = this.tls;
    const secure =
      tls === undefined
        ? []
        : ["--cert-file", tls.cert, "--key-file", tls.key, "--trusted-ca-file", tls.ca, "--client-cert-auth"];
    const args = [
      ...["--name", name, "--data-dir", join(this.directory, name)],
      ...["--listen-client-urls", this.endpoint(index).replace("localhost", "127.0.0.1")],
      ...[
        "--advertise-client-urls",
        this.endpoint(index).replace("localhost", this.#isHidden ? "0.0.0.0" : "localhost"),
      ],
      ...["--listen-peer-urls", `http://127.0.0.1:${peerPort}`],
      ...["--initial-advertise-peer-urls", `http://127.0.0.1:${peerPort}`],
      ...["--initial-cluster", peers, "--initial-cluster-state", isLate ? "existing" : "new"],
      ...["--log-level", "warn", "--logger", "zap"],
      ...secure,
    ];
    const child = spawn("etcd", args, { stdio: ["ignore", "pipe", "pipe"] });
    const log = createWriteStream(join(this.directory, `${name}.log`), { flags: "a" });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    child.once("exit", () => log.end());
    this.#members[index]!.process = child;
  }

  async #ready(index: number): Promise<void> {
    const { process, name } = this.#members[index]!;
    const deadline = Date.now() + readyMs;
    for (;;) {
      try {
        await this.#post("/v3/maintenance/status", { body: "{}", member: index });
        return;
      } catch (error) {
        const isOver = process === undefined || process.exitCode !== null || Date.now() > deadline;
        if (isOver) {
          const said = readFileSync(join(this.directory, `${name}.log`), "utf8").slice(-2_000);
          throw new Error(`etcd ${name} did not start: ${said}`, { cause: error });
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  #post(path: string, { body, member = 0, token }: { body: string; member?: number; token?: string }): Promise<string> {
    const url = `${this.endpoint(member)}${path}`;
    const headers = token === undefined ? {} : { authorization: token };
    const tls = this.tls;
    if (tls === undefined) {
      return fetch(url, { method: "POST", body, headers, signal: AbortSignal.timeout(5_000) }).then((answer) =>
        answer.text(),
      );
    }
    return new Promise((resolve, reject) => {
      const files = { ca: readFileSync(tls.ca), cert: readFileSync(tls.cert), key: readFileSync(tls.key) };
      const sent = request(url, { method: "POST", ...files, headers, timeout: 5_000 }, (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (part: string) => (text += part));
        answer.on("end", () => resolve(text));
      });
      sent.on("error", reject);
      sent.end(body);
    });
  }
}

function isRunning(process: ChildProcess | undefined): boolean {
  return process !== undefined && process.exitCode === null && process.signalCode === null;
}

/** Free at the time of asking; etcd says so itself if another program was quicker. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("No port");
    ports.push(address.port);
  }
  for (const server of servers) {
    server.close();
    await once(server, "close");
  }
  return ports;
}

/** A CA, one certificate for server and client alike, and a second CA. */
function makeTls(directory: string): TlsFiles {
  const at = (name: string): string => join(directory, name);
  const openssl = (...args: readonly string[]): void => {
    execFileSync("openssl", args, { stdio: ["ignore", "ignore", "ignore"], cwd: directory });
  };
  for (const ca of ["ca", "other"]) {
    const subject = ["-subj", `/CN=${ca}`, "-days", "2", "-nodes"];
    openssl("req", "-x509", "-newkey", "rsa:2048", "-keyout", `${ca}.key`, "-out", `${ca}.crt`, ...subject);
  }
  openssl(
    "req",
    "-newkey",
    "rsa:2048",
    "-keyout",
    "etcd.key",
    "-out",
    "etcd.csr",
    "-nodes",
    "-subj",
    "/CN=etcd",
    "-addext",
    "subjectAltName=DNS:localhost,IP:127.0.0.1",
  );
  openssl(
    "x509",
    "-req",
    "-in",
    "etcd.csr",
    "-CA",
    "ca.crt",
    "-CAkey",
    "ca.key",
    "-set_serial",
    "1",
    "-out",
    "etcd.crt",
    "-days",
    "2",
    "-copy_extensions",
    "copy",
  );
  return { ca: at("ca.crt"), cert: at("etcd.crt"), key: at("etcd.key"), otherCa: at("other.crt") };
}

export function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** Whether all of its threads are; one that ends meanwhile is looked for again. */
function isStopped(pid: number): boolean {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    return threads.every((thread) => / T [^)]*$/.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8")));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
