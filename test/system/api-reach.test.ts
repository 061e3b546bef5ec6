// The commands' client and the agent's API over TCP: with TLS, certificates on both sides, a token; and what a person is told
// where one of them does not fit.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { createApiClient } from "../../agent/adapters/api-client.ts";
import { tokenGuard } from "../../agent/adapters/api-guard.ts";
import { serveTcp } from "../../agent/adapters/api-server.ts";
import { createClock } from "../../agent/adapters/clock.ts";
import { createApi } from "../../agent/api/api.ts";
import { Problem, explainError } from "../../agent/domain/problem.ts";
import { Secret } from "../../agent/domain/settings.ts";
import type { TcpServer } from "../../agent/ports/api-server.ts";
import { type Reach, type TlsFiles, type TokenSource, socketReach } from "../../agent/ports/reach.ts";
import { FakeCluster, samplePicture } from "../fakes/fake-cluster.ts";
import { FakeHands } from "../fakes/fake-hands.ts";
import { silentLog } from "../fakes/silent-log.ts";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

suite("the API over TCP", { skip: !hasOpenssl && "openssl is missing" }, () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-reach-"));
  const at = (name: string) => join(folder, name);
  const servers: TcpServer[] = [];
  const cluster = new FakeCluster(samplePicture());
  const api = createApi({ view: cluster, hands: new FakeHands(), clock: createClock(), log: silentLog, version: "1" });
  let [plain, locked, tls, mutual] = [0, 0, 0, 0];

  before(async () => {
    for (const name of ["server", "client", "stranger"]) {
      const made = spawnSync(
        "openssl",
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"].concat(
          ["-subj", `/CN=${name}.example`, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
          ["-keyout", at(`${name}.key`), "-out", at(`${name}.pem`)],
        ),
        { encoding: "utf8" },
      );
      assert.equal(made.status, 0, made.stderr);
    }
    const text = (name: string) => readFileSync(at(name), "utf8");
    const serve = async (more: Partial<Parameters<typeof serveTcp>[1]>) => {
      const server = await serveTcp(api, { host: "127.0.0.1", port: 0, ...more });
      servers.push(server);
      return server.port;
    };
    const own = { cert: text("server.pem"), key: text("server.key"), ca: undefined };
    plain = await serve({});
    locked = await serve({ guard: tokenGuard(new Secret("open sesame".replace(" ", "-"))) });
    tls = await serve({ tls: own, guard: tokenGuard(new Secret("word")) });
    mutual = await serve({ tls: { ...own, ca: text("client.pem") } });
  });
  after(async () => {
    for (const server of servers) await server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const reach = (origin: string, more: { readonly tls?: TlsFiles; readonly token?: TokenSource } = {}): Reach => ({
    ...socketReach(""),
    endpoint: { kind: "http", origin },
    ...more,
  });
  const given = (token: string): TokenSource => ({ kind: "given", token });
  const version = async (to: Reach): Promise<unknown> => {
    const answer = await createApiClient(to).get("/v2");
    return (answer as { readonly version: unknown }).version;
  };

  test("plain, and with a token from a file", async () => {
    assert.equal(await version(reach(`http://127.0.0.1:${plain}`)), "1");
    writeFileSync(at("token"), "open-sesame\n");
    const token: TokenSource = { kind: "file", path: at("token") };
    assert.equal(await version(reach(`http://127.0.0.1:${locked}`, { token })), "1");
  });

  test("TLS by address and by name, with a token, and changes as they come", async () => {
    const how = { tls: { caFile: at("server.pem") }, token: given("word") };
    assert.equal(await version(reach(`https://127.0.0.1:${tls}`, how)), "1");
    const to = reach(`https://localhost:${tls}`, how);
    assert.equal(await version(to), "1");
    const over = new AbortController();
    const seen: string[] = [];
    const watching = async () => {
      for await (const change of createApiClient(to).changes(over.signal)) {
        seen.push(change);
        if (seen.length === 2) over.abort();
        else cluster.change(samplePicture());
      }
    };
    await assert.rejects(watching(), { code: "aborted" });
    assert.deepEqual(seen, ["changed", "changed"]);
  });

  test("certificates on both sides", async () => {
    const files = { caFile: at("server.pem"), certFile: at("client.pem"), keyFile: at("client.key") };
    assert.equal(await version(reach(`https://localhost:${mutual}`, { tls: files })), "1");
  });

  const troubles: readonly {
    readonly name: string;
    readonly to: () => Reach;
    readonly code: string;
    readonly hint: RegExp;
  }[] = [
    {
      name: "no token",
      to: () => reach(`http://127.0.0.1:${locked}`),
      code: "api-token",
      hint: /--token-file/,
    },
    {
      name: "a token of another",
      to: () => reach(`http://127.0.0.1:${locked}`, { token: given("sesame") }),
      code: "api-token",
      hint: /Bearer/,
    },
    {
      name: "no token in the file",
      to: () => reach(`http://127.0.0.1:${locked}`, { token: { kind: "file", path: at("server.pem") } }),
      code: "api-token",
      hint: /one line/,
    },
    {
      name: "no such file",
      to: () => reach(`http://127.0.0.1:${locked}`, { token: { kind: "file", path: at("none") } }),
      code: "api-token",
      hint: /--token-file names it/,
    },
    {
      name: "an authority that is not known",
      to: () => reach(`https://localhost:${tls}`, { token: given("word") }),
      code: "agent-unreachable",
      hint: /--ca-file/,
    },
    {
      name: "another's certificate",
      to: () => reach(`https://localhost:${tls}`, { token: given("word"), tls: { caFile: at("stranger.pem") } }),
      code: "agent-unreachable",
      hint: /--ca-file/,
    },
    {
      name: "TLS where there is none",
      to: () => reach(`https://127.0.0.1:${plain}`, { tls: { caFile: at("server.pem") } }),
      code: "agent-unreachable",
      hint: /http:\/\//,
    },
    {
      name: "no certificate where one is asked for",
      to: () => reach(`https://localhost:${mutual}`, { tls: { caFile: at("server.pem") } }),
      code: "agent-unreachable",
      hint: /--cert-file/,
    },
    {
      name: "no TLS where there is some",
      to: () => reach(`http://127.0.0.1:${tls}`),
      code: "agent-unreachable",
      hint: /https:\/\//,
    },
    {
      name: "no such CA file",
      to: () => reach(`https://localhost:${tls}`, { tls: { caFile: at("none") } }),
      code: "api-tls-file",
      hint: /--ca-file names it/,
    },
  ];
  for (const { name, to, code, hint } of troubles)
    test(name, async () => {
      const error: unknown = await version(to()).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      assert.ok(error instanceof Problem, String(error));
      assert.deepEqual(
        [error.code, hint.test(error.hint ?? "")],
        [code, true],
        `${explainError(error)} (${error.hint ?? ""})`,
      );
      assert.doesNotMatch(explainError(error), /sesame|word/);
    });
});
