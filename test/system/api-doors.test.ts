// The ways to the API of a real agent: sockets that systemd's own program makes and hands over, TCP with TLS, a token or
// certificates of clients, and the unix socket's group.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request as plainRequest } from "node:http";
import { type RequestOptions, request as tlsRequest } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import { type TestContext, after, before, suite, test } from "node:test";
import { freePorts } from "../../agent/adapters/child.ts";
import { LoneAgent, type Settings } from "./lone-agent.ts";

const hasActivator = spawnSync("systemd-socket-activate", ["--version"]).status === 0;
const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
const token = "a token of the tests".replaceAll(" ", "-");

async function lone(context: TestContext, settings: Settings): Promise<LoneAgent> {
  const agent = await LoneAgent.create({ machine: false });
  context.after(() => agent.close());
  await agent.configure({ Git: { Schedule: undefined, Jitter: undefined }, ...settings });
  return agent;
}

/** The status and the text of an answer, over TLS when there is a `ca`. */
function ask(port: number, { path = "/v2", ...more }: RequestOptions = {}): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, path, agent: false, timeout: 10_000, ...more };
    const request = more.ca === undefined ? plainRequest(options) : tlsRequest(options);
    request.once("response", (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      response.once("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.once("timeout", () => request.destroy(new Error("no answer")));
    request.once("error", reject);
    request.end();
  });
}

/** Connects and goes: enough for who waits for the first connection. */
async function touch(where: { readonly path: string } | { readonly port: number }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ ...where }, () => {
      socket.destroy();
      resolve();
    });
    socket.once("error", reject);
  });
}

suite("sockets of systemd's", { skip: !hasActivator && "systemd-socket-activate is missing" }, () => {
  /** Has systemd's program listen, and start the agent at the first connection. */
  async function activated(agent: LoneAgent, ...options: readonly string[]): Promise<void> {
    agent.prefix = ["systemd-socket-activate", ...options];
    agent.launch();
    await agent.eventually(() => agent.output.includes("Listening on"), Boolean, "the activator listens");
  }

  test("a unix socket and a TCP socket are served, and stay as they are when the agent ends", async (context) => {
    const agent = await lone(context, {});
    const [port = 0] = await freePorts(1);
    await activated(agent, "-l", agent.socket, "-l", `127.0.0.1:${port}`, "--fdname=flotilla.socket:web");
    const made = statSync(agent.socket);
    // The connection that starts the agent waits in the socket until it is there, and is answered
    assert.match(await agent.ask("list-machines"), /MACHINE/);
    assert.equal((await ask(port)).status, 200);
    assert.match(agent.output, new RegExp(`api.listening at=http://127.0.0.1:${port}`));
    assert.equal(await agent.stop(), 0);
    const left = statSync(agent.socket);
    assert.deepEqual([left.ino, left.mode, left.gid], [made.ino, made.mode, made.gid]);
  });

  test("with a TCP socket alone the agent has its own unix socket beside it, and takes it away", async (context) => {
    const agent = await lone(context, {});
    const [port = 0] = await freePorts(1);
    await activated(agent, "-l", `127.0.0.1:${port}`);
    assert.equal((await ask(port)).status, 200);
    assert.equal(statSync(agent.socket).mode & 0o777, 0o600);
    await agent.stop();
    assert.throws(() => statSync(agent.socket), /ENOENT/);
  });

  test("with a unix socket elsewhere both are served", async (context) => {
    const agent = await lone(context, {});
    const other = join(agent.directory, "other.sock");
    await activated(agent, "-l", other);
    await touch({ path: other });
    assert.match(await agent.until(/MACHINE/, ["list-machines"]), /MACHINE/);
    const status = await new Promise((resolve, reject) => {
      plainRequest({ socketPath: other, path: "/v2" }, (response) => resolve(response.resume().statusCode))
        .once("error", reject)
        .end();
    });
    assert.equal(status, 200);
    await agent.stop();
    assert.ok(statSync(other).isSocket());
  });

  test("a unix socket that any user may write to is warned of", async (context) => {
    for (const [mode, isOpen] of [
      [0o666, true],
      [0o660, false],
    ] as const) {
      const agent = await lone(context, {});
      await activated(agent, "-l", agent.socket);
      chmodSync(agent.socket, mode);
      assert.match(await agent.ask("list-machines"), /MACHINE/);
      assert.equal(/api\.open.*SocketMode=0660/.test(agent.output), isOpen, agent.output);
      await agent.stop();
    }
  });

  const refused: readonly { readonly name: string; readonly options: readonly string[]; readonly says: RegExp }[] = [
    { name: "a datagram socket", options: ["--datagram"], says: /Cannot serve the API on socket 3 of systemd/ },
    { name: "one connection at a time", options: ["--accept"], says: /Cannot serve the API on socket 3 of systemd/ },
  ];
  for (const { name, options, says } of refused)
    test(`refused: ${name}`, async (context) => {
      const agent = await lone(context, {});
      const [port = 0] = await freePorts(1);
      await activated(agent, ...options, "-l", `127.0.0.1:${port}`);
      if (name.includes("datagram")) execFileSync("bash", ["-c", `echo >/dev/udp/127.0.0.1/${port}`]);
      else await touch({ port });
      await agent.eventually(
        () => agent.output,
        (text) => says.test(text),
        "it is said",
      );
    });

  test("not served: an address that anybody reaches, without a token", async (context) => {
    const agent = await lone(context, {});
    const [port = 0] = await freePorts(1);
    await activated(agent, "-l", `0.0.0.0:${port}`, "--fdname=web");
    await touch({ port });
    const status = await agent.until(new RegExp(`Cannot serve the API on 0.0.0.0:${port} to whoever reaches it`));
    assert.match(status, /have the unit of "web" listen on 127.0.0.1/);
    assert.doesNotMatch(agent.output, /api\.listening/);
  });

  test("with a token it is served, to who has it", async (context) => {
    const agent = await lone(context, { API: { Token: token } });
    const [port = 0] = await freePorts(1);
    await activated(agent, "-l", `[::]:${port}`);
    assert.equal((await ask(port)).status, 401);
    assert.equal((await ask(port, { headers: { Authorization: `Bearer ${token}` } })).status, 200);
  });

  test("variables for another process are nobody's", async (context) => {
    const agent = await lone(context, {});
    agent.called = {
      ...agent.called,
      env: { ...agent.called.env, LISTEN_FDS: "1", LISTEN_PID: "1", LISTEN_FDNAMES: "x" },
    };
    agent.launch();
    await agent.until(/MACHINE/, ["list-machines"]);
  });
});

suite("TCP", { skip: !hasOpenssl && "openssl is missing" }, () => {
  let folder: string;
  const file = (name: string): string => join(folder, name);
  const pem = (name: string): string => readFileSync(file(name), "utf8");

  before(() => {
    folder = mkdtempSync("/var/tmp/flotilla-doors-");
    const openssl = (...args: readonly string[]): void => {
      execFileSync("openssl", args, { cwd: folder, stdio: "ignore" });
    };
    const fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const authority = (name: string): void =>
      openssl("req", "-x509", ...fresh, "-keyout", `${name}.key`, "-out", `${name}.pem`, "-subj", `/CN=${name}`);
    let serial = 0;
    const signed = (name: string, by: string): void => {
      openssl("req", ...fresh, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
      writeFileSync(file("extensions"), "subjectAltName=IP:127.0.0.1\n");
      const how = [
        "-CA",
        `${by}.pem`,
        "-CAkey",
        `${by}.key`,
        "-set_serial",
        String(++serial),
        "-extfile",
        "extensions",
      ];
      openssl("x509", "-req", "-in", `${name}.csr`, "-out", `${name}.pem`, ...how);
    };
    authority("ca");
    authority("foreign");
    signed("server", "ca");
    signed("client", "ca");
    signed("stranger", "foreign");
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** An agent that listens on TCP; its port. */
  async function listening(context: TestContext, api: Readonly<Record<string, string>>): Promise<[LoneAgent, number]> {
    const [port = 0] = await freePorts(1);
    const agent = await lone(context, { API: { Listen: `127.0.0.1:${port}`, ...api } });
    agent.launch();
    await agent.eventually(() => agent.output.includes("api.listening"), Boolean, "it is up");
    return [agent, port];
  }
  const tls = (): Readonly<Record<string, string>> => ({
    TLSCertFile: file("server.pem"),
    TLSKeyFile: file("server.key"),
  });

  test("plain: programs of this machine, and no page of the internet", async (context) => {
    const [agent, port] = await listening(context, {});
    assert.equal((await ask(port)).status, 200);
    const answer = await ask(port, { headers: { Host: "evil.example" } });
    assert.deepEqual([answer.status, /"api-host"/.test(answer.text)], [403, true]);
    assert.match(agent.output, /Cannot tell who asks on 127.0.0.1:\d+: any user of this machine may/);
  });

  test("TLS and a token from its file", async (context) => {
    writeFileSync(file("token"), `${token}\n`, { mode: 0o600 });
    const [agent, port] = await listening(context, { ...tls(), TokenFile: file("token") });
    const ca = pem("ca.pem");
    assert.equal((await ask(port, { ca, headers: { Authorization: `Bearer ${token}` } })).status, 200);
    const without = await ask(port, { ca });
    assert.deepEqual([without.status, /"code":"api-token"/.test(without.text)], [401, true]);
    const fleets = await ask(port, { ca, path: "/fleet/v1/machines" });
    assert.match(fleets.text, /^\{"error":\{"code":401,"message":"Cannot answer without/);
    await assert.rejects(ask(port), /socket hang up|ECONNRESET|EPIPE/, "plain HTTP on a TLS port");
    assert.ok(!agent.output.includes(token));
    // The unix socket asks for nothing
    assert.match(await agent.ask("list-machines"), /MACHINE/);
  });

  test("certificates of clients", async (context) => {
    const [, port] = await listening(context, { ...tls(), TLSClientCAFile: file("ca.pem") });
    const ca = pem("ca.pem");
    const known = { ca, cert: pem("client.pem"), key: pem("client.key") };
    assert.equal((await ask(port, known)).status, 200);
    await assert.rejects(ask(port, { ca }), "without one");
    await assert.rejects(
      ask(port, { ca, cert: pem("stranger.pem"), key: pem("stranger.key") }),
      "of another authority",
    );
    assert.equal((await ask(port, known)).status, 200);
  });

  test("refused: an address that anybody reaches", async (context) => {
    const agent = await lone(context, { API: { Listen: "0.0.0.0:1" } });
    agent.launch();
    assert.notEqual(await agent.ended(), 0);
    assert.match(agent.output, /flotilla.conf:\d+: Cannot serve the API on 0.0.0.0:1 to whoever reaches it/);
  });

  const bad: readonly { readonly name: string; readonly api: () => Settings[string]; readonly says: RegExp }[] = [
    {
      name: "a key that belongs to another certificate",
      api: () => ({ Listen: "127.0.0.1:1", TLSCertFile: file("server.pem"), TLSKeyFile: file("client.key") }),
      says: /Cannot serve the API with the certificate .*server.pem and the key .*client.key/,
    },
    {
      name: "a certificate that is not there",
      api: () => ({ Listen: "127.0.0.1:1", TLSCertFile: file("none"), TLSKeyFile: file("client.key") }),
      says: /none: Cannot read this file/,
    },
    {
      name: "authorities that are none",
      api: () => ({ Listen: "127.0.0.1:1", ...tls(), TLSClientCAFile: file("extensions") }),
      says: /Cannot tell clients by .*extensions: it holds no certificate/,
    },
    {
      name: "a group that is not there",
      api: () => ({ Group: "nobody-has-it" }),
      says: /"nobody-has-it": there is none/,
    },
  ];
  for (const { name, api, says } of bad)
    test(`a trouble, and a door that stays shut: ${name}`, async (context) => {
      const agent = await lone(context, { API: api() });
      agent.launch();
      await agent.until(says);
      assert.doesNotMatch(agent.output, /api\.listening/);
      assert.equal(statSync(agent.socket).mode & 0o777, 0o600);
      assert.equal(await agent.stop(), 0);
    });

  test("the socket goes to the group that the settings name", async (context) => {
    const group = String(process.getgroups?.()[0] ?? process.getegid?.());
    const agent = await lone(context, { API: { Group: process.geteuid?.() === 0 ? "1234" : group } });
    agent.launch();
    await agent.until(/MACHINE/, ["list-machines"]);
    await agent.eventually(
      () => statSync(agent.socket).mode & 0o777,
      (mode) => mode === 0o660,
      "it is given away",
    );
    const { mode, gid } = statSync(agent.socket);
    assert.deepEqual([mode & 0o777, gid], [0o660, process.geteuid?.() === 0 ? 1234 : Number(group)]);
  });
});
