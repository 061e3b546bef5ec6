// Whom this machine asks over https is checked against its own authorities where no CA file is named: etcd, its peers, a
// discovery service, an agent's API, and whoever waits for a call of the first boot.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { createApiClient } from "../../agent/adapters/api-client.ts";
import { askForToken } from "../../agent/adapters/discovery-token.ts";
import { StoreHttp } from "../../agent/adapters/discovery/http.ts";
import { membersOverPeer } from "../../agent/adapters/registry/etcd-peers.ts";
import { explainError } from "../../agent/domain/problem.ts";
import { socketReach } from "../../agent/ports/reach.ts";
import { step } from "../contract/host-setup.ts";
import { type ScratchRoot, openScratchRoot } from "../unit/adapters/setup/root.ts";
import { connect } from "./etcd-client.ts";
import { type EtcdServer, startEtcd, withoutEtcd } from "./etcd-server.ts";

const never = new AbortController().signal;
const token = "ab".repeat(16);
const variable = "SSL_CERT_FILE";

describe("the host's own authorities", { timeout: 120_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-roots-"));
  const certificate = join(folder, "server.pem");
  const beforehand = process.env[variable];
  let machine: ScratchRoot;
  let origin = "";

  execFileSync(
    "openssl",
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"].concat(
      ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
      ["-keyout", join(folder, "server.key"), "-out", certificate],
    ),
    { stdio: "ignore" },
  );
  const files = { key: readFileSync(join(folder, "server.key")), cert: readFileSync(certificate) };
  /** Whatever is asked here. */
  const server = createServer(files, ({ url = "" }, response) => {
    response.setHeader("x-etcd-cluster-id", "ab");
    if (url === "/members") response.end('[{"id":1,"peerURLs":["https://p:2380"],"name":"m","clientURLs":[]}]');
    else if (url.startsWith("/new")) response.end(`https://localhost/${token}`);
    else response.end("{}");
  });

  before(async () => {
    machine = await openScratchRoot();
    await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
    origin = `https://localhost:${(server.address() as AddressInfo).port}`;
  });
  after(async () => {
    server.closeAllConnections();
    server.close();
    await machine.close();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(restore);
  after(restore);

  function restore(): void {
    if (beforehand === undefined) Reflect.deleteProperty(process.env, variable);
    else process.env[variable] = beforehand;
  }

  const ways: readonly (readonly [name: string, ask: () => Promise<unknown>])[] = [
    ["etcd's peers", () => membersOverPeer([origin])],
    [
      "a discovery service",
      () =>
        new StoreHttp("the service", { caFile: undefined, certFile: undefined, keyFile: undefined }).ask({
          method: "GET",
          url: new URL(`${origin}/${token}`),
          timeoutMs: 5_000,
          signal: never,
        }),
    ],
    ["a new token", () => askForToken({ url: origin, size: 3, ca: undefined }, never)],
    [
      "an agent's API",
      () => createApiClient({ ...socketReach(""), endpoint: { kind: "http", origin } }, { ...process.env }).get("/v2"),
    ],
    [
      "the call of a first boot",
      () =>
        machine.setup.apply(step({ kind: "phone-home", url: `${origin}/up`, fields: ["hostname"], tries: 1 }), never),
    ],
  ];
  for (const [name, ask] of ways)
    test(`${name}: trusted by them, else refused`, async () => {
      await assert.rejects(ask(), (error) => /self.signed certificate/.test(explainError(error)));
      process.env[variable] = certificate;
      await ask();
      process.env[variable] = join(folder, "none.pem");
      await assert.rejects(ask(), (error) => /none\.pem/.test(explainError(error)));
    });

  test("etcd: trusted by them, else refused", { skip: withoutEtcd }, async (t) => {
    const etcd: EtcdServer = await startEtcd({ tls: true });
    t.after(() => etcd.close());
    const { ca, cert, key } = etcd.tls!;
    const ask = async (): Promise<unknown> => {
      const client = connect(etcd.endpoints, { certFile: cert, keyFile: key });
      t.after(() => client.close());
      return client.get("a");
    };
    await assert.rejects(ask(), { code: "registry-refused" });
    process.env[variable] = ca;
    await ask();
    process.env[variable] = join(folder, "none.pem");
    await assert.rejects(ask(), (error) => /none\.pem/.test(explainError(error)));
  });
});
