// An etcd whose endpoint is an address, over TLS: nothing is said on stderr, no address is sent as a server name, and the
// certificate is still checked against the address.
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type ServerHttp2Session, createSecureServer } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, describe, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { promisify } from "node:util";

const run = promisify(execFile);
const timeoutMs = 30_000;

/** Asks once, and prints how that ended. */
const client = `
  import { readFileSync } from "node:fs";
  import { openChannel } from ${JSON.stringify(new URL("../../agent/adapters/registry/etcd-channel.ts", import.meta.url).href)};
  const [url, ca] = process.argv.slice(1);
  const channel = await openChannel(url, { ca: readFileSync(ca), cert: undefined, key: undefined });
  const sent = { service: "KV", method: "range", request: { key: Buffer.from("a") }, token: undefined };
  await channel.call(sent, Date.now() + 5_000).then(
    () => console.log("answered"),
    (error) => console.log(error.message),
  );
  channel.close();
`;

describe("etcd by its address over TLS", { timeout: 120_000 }, () => {
  test("its certificate names the address: it is asked, in silence and without a server name", async (t) => {
    const server = await start(t, "IP:127.0.0.1");
    const { stdout, stderr } = await ask(server, "127.0.0.1");
    assert.match(stdout, /refused by the test/);
    assert.equal(stderr, "");
    assert.deepEqual(server.names, [false]);
  });

  test("by a name the name is sent", async (t) => {
    const server = await start(t, "DNS:localhost");
    const { stdout } = await ask(server, "localhost");
    assert.match(stdout, /refused by the test/);
    assert.deepEqual(server.names, ["localhost"]);
  });

  for (const alternative of ["IP:127.0.0.2", "DNS:localhost"])
    test(`its certificate is for ${alternative}: it is not asked`, async (t) => {
      const server = await start(t, alternative);
      const { stdout, stderr } = await ask(server, "127.0.0.1");
      assert.doesNotMatch(stdout, /refused by the test|answered/);
      assert.match(stdout, /altnames|certificate|Deadline/i);
      assert.equal(stderr, "");
      assert.equal(server.asked(), 0);
    });
});

interface Server {
  readonly port: number;
  readonly ca: string;
  /** Server names that clients sent; false: none. */
  readonly names: (string | false | undefined)[];
  readonly asked: () => number;
}

async function ask({ port, ca }: Server, host: string): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const args = ["--import", "tsx", "--input-type=module", "-e", client, `https://${host}:${port}`, ca];
  return run(process.execPath, args, { timeout: timeoutMs });
}

/** Answers every call of gRPC with a refusal in words of its own. */
async function start(t: TestContext, alternative: string): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-address-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const openssl = (...args: readonly string[]): void => {
    execFileSync("openssl", args, { cwd: folder, stdio: "ignore" });
  };
  const fresh = ["-newkey", "rsa:2048", "-nodes"];
  openssl("req", "-x509", ...fresh, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca", "-days", "2");
  openssl("req", ...fresh, "-keyout", "etcd.key", "-out", "etcd.csr", "-subj", "/CN=etcd");
  writeFileSync(join(folder, "extensions"), `subjectAltName=${alternative}\n`);
  const signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", "1", "-extfile", "extensions", "-days", "2"];
  openssl("x509", "-req", "-in", "etcd.csr", "-out", "etcd.crt", ...signed);
  const names: (string | false | undefined)[] = [];
  const sessions = new Set<ServerHttp2Session>();
  let asked = 0;
  const server = createSecureServer({
    key: readFileSync(join(folder, "etcd.key")),
    cert: readFileSync(join(folder, "etcd.crt")),
  });
  server.on("secureConnection", (socket: TLSSocket) => names.push(socketName(socket)));
  server.on("session", (session) => sessions.add(session));
  server.on("sessionError", () => undefined); // of clients that do not trust it
  server.on("stream", (stream) => {
    asked++;
    const refusal = { "grpc-status": "7", "grpc-message": "refused by the test" };
    stream.respond({ ":status": 200, "content-type": "application/grpc", ...refusal }, { endStream: true });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("No port");
  return { port: address.port, ca: join(folder, "ca.crt"), names, asked: () => asked };
}

/** Node's types leave it out of TLSSocket. */
function socketName(socket: TLSSocket): string | false | undefined {
  return (socket as unknown as { readonly servername?: string | false }).servername;
}
