// The contract of a discovery store, held by our own service, and by a real etcd in both its versions.
import { after, before, suite } from "node:test";
import { randomUUID } from "node:crypto";
import { createV2Store } from "../../agent/adapters/discovery/v2.ts";
import { createV3Store } from "../../agent/adapters/discovery/v3.ts";
import { Secret } from "../../agent/domain/settings.ts";
import { type StoreMaker, discoveryContract } from "../contract/discovery.ts";
import { withoutEtcd } from "./etcd-server.ts";
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
        const base64 = (text: string): string => Buffer.from(text).toString("base64");
        const body = { key: base64(`/_etcd/registry/${token}/_config/size`), value: base64("3") };
        await fetch(`${etcd}/v3/kv/put`, { method: "POST", body: JSON.stringify(body) });
        // the first of the endpoints is always down
        return { connect: () => v3([nobody, etcd], token) };
      },
      absent: async () => v3([etcd], randomUUID()),
      unreachable: async () => v3([nobody], "x"),
    },
  };
  for (const [name, maker] of Object.entries(makers)) discoveryContract(name, { skip: false }, maker);
});
