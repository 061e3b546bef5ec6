// A real etcd, through the adapter, keeps the registry's contract.
import { test } from "node:test";
import { registryContract } from "../contract/registry.ts";
import { clock, connect } from "./etcd-client.ts";
import { startEtcd, withoutEtcd } from "./etcd-server.ts";

if (withoutEtcd !== false) test("the registry contract on etcd", { skip: withoutEtcd });
else {
  registryContract("etcd", async () => {
    const server = await startEtcd();
    const clients = new Set<ReturnType<typeof connect>>();
    return {
      connect: () => {
        const client = connect(server.endpoints);
        clients.add(client);
        return client;
      },
      compact: () => server.compact(),
      pass: (ms) => clock.sleep(ms),
      manyKeys: 100_000,
      leaseMs: 2_000,
      close: async () => {
        for (const client of clients) await client.close();
        await server.close();
      },
    };
  });
}
