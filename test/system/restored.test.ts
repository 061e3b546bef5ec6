// etcd is put back to a backup under a cluster that works: nothing that runs is touched, and the cluster goes on from what its
// machines have and what the repository says. Everything is real.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Cluster, loop } from "./cluster.ts";
import { withoutEtcd } from "./etcd-server.ts";

const fenced = loop("TimeoutStopSec=2\n[X-Fleet]\nOnPartition=stop\n");

describe("etcd that is put back to a backup", { skip: withoutEtcd, timeout: 240_000 }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.start({
      units: {
        "static/all.service": loop("[X-Fleet]\nGlobal=true\n"),
        "static/old.service": loop(),
        "static/stays.service": loop(),
        "static/single.service": fenced,
      },
    });
    await cluster.untilActive(6);
  });
  after(() => cluster.close());

  test("stops, starts and moves nothing that was decided since", async () => {
    const restore = await cluster.etcd.backUp();
    await cluster.until("all machines", ({ status }) => status.machines.alive === 3 && status.leader !== undefined);
    await cluster.commit({ "static/old.service": null, "static/new.service": loop(), "static/later.service": fenced });
    await cluster.sync();
    const seen = await cluster.untilActive(7);
    const wanted = new Set(seen.map(({ name }) => name));
    assert.deepEqual([wanted.has("old.service"), wanted.has("later.service")], [false, true]);
    const where = new Map(seen.map(({ name, machine }) => [`${name} ${machine.id}`, machine.hostname]));
    const starts = async (): Promise<readonly (readonly string[])[]> =>
      Promise.all(cluster.machines.map((machine) => machine.starts()));
    const started = await starts();
    const keptRevision = await cluster.etcd.revision();
    await restore();
    assert.ok((await cluster.etcd.revision()) < keptRevision, "etcd has forgotten what came after the backup");
    const after = await cluster.until(
      "a cluster at rest",
      async ({ status, units }) => {
        const sights = await Promise.all(cluster.machines.map((machine) => machine.lookAlone()));
        const isQuiet = sights.every((sight) => sight.status.problems.length === 0);
        const isWhole = units.length === 7 && units.every(({ active }) => active === "active");
        return isQuiet && isWhole && status.machines.alive === 3 && (await mark(cluster)) === 0 && units;
      },
      90_000,
    );
    assert.deepEqual(new Map(after.map(({ name, machine }) => [`${name} ${machine.id}`, machine.hostname])), where);
    // What stops by itself while etcd is away may have; it is started where it was
    const lasting = (all: readonly (readonly string[])[]): readonly (readonly string[])[] =>
      all.map((each) => each.filter((name) => !["single.service", "later.service"].includes(name)));
    assert.deepEqual(lasting(await starts()), lasting(started));
  });
});

/** How many keys say that the registry was put back. */
async function mark({ etcd }: Cluster): Promise<number> {
  const key = Buffer.from("/flotilla/restored").toString("base64");
  const { count = "0" } = (await etcd.call("/v3/kv/range", { key })) as { readonly count?: string };
  return Number(count);
}
