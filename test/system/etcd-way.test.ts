// The way from a machine to etcd: straight, whatever proxy the environment names. Real etcd on loopback.
import assert from "node:assert/strict";
import { type TestContext, describe, test } from "node:test";
import { connect } from "./etcd-client.ts";
import { startEtcd, withoutEtcd } from "./etcd-server.ts";

describe("the way to etcd", { skip: withoutEtcd, timeout: 120_000 }, () => {
  for (const name of ["https_proxy", "http_proxy", "grpc_proxy"])
    test(`${name} is not gone through`, async (t) => {
      const server = await startEtcd();
      t.after(() => server.close());
      setVariable(t, name, "http://127.0.0.1:1");
      const client = connect(server.endpoints);
      t.after(() => client.close());
      assert.equal((await client.get("a")).entry, undefined);
    });
});

/** Until the test is over. */
function setVariable(t: TestContext, name: string, value: string): void {
  const before = process.env[name];
  process.env[name] = value;
  t.after(() => {
    if (before === undefined) Reflect.deleteProperty(process.env, name);
    else process.env[name] = before;
  });
}
