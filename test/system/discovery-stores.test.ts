// The contract of a discovery store, held by our own service, and by a real etcd in both its versions.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, suite, test } from "node:test";
import { createV2Store } from "../../agent/adapters/discovery/v2.ts";
import { createV3Store } from "../../agent/adapters/discovery/v3.ts";
import { Problem } from "../../agent/domain/problem.ts";
import { Secret, type TlsFiles } from "../../agent/domain/settings.ts";
import { type StoreMaker, discoveryContract } from "../contract/discovery.ts";
import { base64, startEtcd, withoutEtcd } from "./etcd-server.ts";
import { JoinWorldOnDisk, type OwnService } from "./join-machines.ts";

const tls = { caFile: undefined, certFile: undefined, keyFile: undefined };
const service = { username: undefined, password: undefined, tls };

function v2(url: string) {
  const discovery = { kind: "v2" as const, url, ...service };
  return createV2Store({ discovery, shown: "discovery service (token abcd...)", isLocal: true });
}

function v3(endpoints: readonly string[], token: string) {
  const discovery = { kind: "v3" as const, endpoints, token: new Secret(token), ...service };
  return createV3Store({ discovery, shown: "discovery etcd (token abcd...)", isLocal: true });
}

const nobody = "http://127.0.0.1:1";
const never = new AbortController().signal;

suite("stores of discovery tokens", { skip: withoutEtcd }, () => {
  let world: JoinWorldOnDisk;
  let own: OwnService;
  let etcd: string;
  before(async () => {
    world = new JoinWorldOnDisk();
    own = await world.service();
    etcd = await world.etcdStore();
  });
  after(() => world.close());

  const makers: Readonly<Record<string, StoreMaker>> = {
    "our own service": {
      token: async () => {
        const url = await own.newToken(3);
        return { connect: () => v2(url) };
      },
      absent: async () => v2(`${own.url}/${"0".repeat(32)}`),
      unreachable: async () => v2(`${nobody}/${"0".repeat(32)}`),
    },
    "etcd, version 2": {
      token: async () => {
        const url = `${etcd}/v2/keys/discovery/${randomUUID()}`;
        await fetch(`${url}/_config/size`, { method: "PUT", body: new URLSearchParams({ value: "3" }) });
        return { connect: () => v2(url) };
      },
      absent: async () => v2(`${etcd}/v2/keys/discovery/${randomUUID()}`),
      unreachable: async () => v2(`${nobody}/v2/keys/discovery/x`),
    },
    "etcd, version 3": {
      token: async () => {
        const token = randomUUID();
        const body = { key: base64(`/_etcd/registry/${token}/_config/size`), value: base64("3") };
        await fetch(`${etcd}/v3/kv/put`, { method: "POST", body: JSON.stringify(body) });
        // the first of the endpoints is always down
        return { connect: () => v3([nobody, etcd], token) };
      },
      absent: async () => v3([etcd], randomUUID()),
      unreachable: async () => v3([nobody], "x"),
    },
  };
  test("version 3 with users: the right password, a wrong one, a login that has run out", async () => {
    const server = await startEtcd();
    try {
      const [name, password] = ["discovery", "swordfish"];
      const key = base64("/_etcd/registry/t/_config/size");
      await server.call("/v3/kv/put", { key, value: base64("3") });
      await server.enableAuth({ name, password, prefix: "/_etcd/registry/" });
      const store = (word: string) =>
        createV3Store({
          discovery: {
            ...{ kind: "v3", endpoints: [server.url], token: new Secret("t"), tls },
            ...{ username: name, password: new Secret(word) },
          },
          shown: "discovery etcd (token t...)",
          isLocal: true,
        });
      const good = store(password);
      assert.deepEqual(await good.register({ id: "ab", value: "m1=http://a:1" }, never), { kind: "created" });
      // etcd forgets its logins when it starts
      await server.restart();
      const look = await good.look(never);
      assert.equal(look.kind === "token" ? look.entries.length : undefined, 1);
      await assert.rejects(store("wrong").look(never), { code: "discovery-refused" });
    } finally {
      await server.close();
    }
  });

  test("over TLS, with an authority and a certificate of one's own", async () => {
    const server = await startEtcd({ tls: true });
    try {
      const { ca, cert, key, otherCa } = server.tls ?? { ca: "", cert: "", key: "", otherCa: "" };
      const at = (files: TlsFiles) =>
        createV3Store({
          discovery: { kind: "v3", endpoints: [server.url], token: new Secret("t"), ...service, tls: files },
          shown: "discovery etcd (token t...)",
          isLocal: true,
        });
      assert.deepEqual(await at({ caFile: ca, certFile: cert, keyFile: key }).look(never), { kind: "absent" });
      for (const files of [{ ...tls, caFile: ca }, { caFile: otherCa, certFile: cert, keyFile: key }, tls])
        await assert.rejects(at(files).look(never), { code: "discovery-unreachable" });

      const secure = await world.service({ cert, key });
      const url = await secure.newToken(3, ca);
      assert.match(url, /^https:/);
      const v2Over = (files: TlsFiles) =>
        createV2Store({ discovery: { kind: "v2", url, ...service, tls: files }, shown: "STORE", isLocal: true });
      assert.equal((await v2Over({ ...tls, caFile: ca }).look(never)).kind, "token");
      await assert.rejects(v2Over({ ...tls, caFile: otherCa }).look(never), (error: unknown) => {
        assert.ok(error instanceof Problem);
        assert.match(error.hint ?? "", /DiscoveryCAFile=, and this machine's clock/);
        return error.code === "discovery-unreachable";
      });
    } finally {
      await server.close();
    }
  });

  for (const [name, maker] of Object.entries(makers)) discoveryContract(name, { skip: false }, maker);
});
