// What `flotilla explain` says, on three live machines: why a unit waits, what would change that; and that it does.
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Cluster, loop } from "./cluster.ts";
import { Shell, byName } from "./transcript.ts";

describe("explanations on three machines", { concurrency: 1, timeout: 300_000 }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.start({ metadata: ["zone=a", "zone=b", "zone=b"] });
    await cluster.until("every machine and a leader", async () => {
      const all = await Promise.all(cluster.machines.map((machine) => machine.look()));
      return all.every(({ status }) => status.machines.alive === all.length && status.leader !== undefined);
    });
  });
  after(() => cluster.close());

  test("a unit that waits for metadata says so, and runs once a machine has them", async () => {
    const m1 = cluster.machine("m1");
    const shell = await Shell.open(
      { directory: join(cluster.directory, "shell"), socket: m1.socket, machines: cluster.machines },
      { "store.service": loop("[X-Fleet]\nMachineMetadata=disk=ssd\nMachineMetadata=zone=a\n") },
    );
    const changed = JSON.stringify({ metadata: { disk: "ssd" } });
    const patch = `curl -s --unix-socket ${m1.socket} -X PATCH -H 'Content-Type: application/json' -d '${changed}'`;
    await shell.follow(
      `
      $ flotilla start --no-block store | wc -l
      1
      $~ flotilla explain store
      store.service
          State: waiting: no machine takes it
          Rules: 3 machines
                 metadata  leaves 0
        Nearest: m1: needs disk=ssd (metadata)
                 m2: needs disk=ssd, zone=a (metadata)
                 m3: needs disk=ssd, zone=a (metadata)
      To change: give m1 the metadata disk=ssd
                 give m2 the metadata disk=ssd zone=a
                 give m3 the metadata disk=ssd zone=a
                 add a machine with the metadata disk=ssd zone=a
      $ flotilla explain m1 | tail -2
        Refuses: 1 by metadata, as store.service: needs disk=ssd
        Waiting: store.service: needs disk=ssd (metadata)
      # what it says would change it
      $ ${patch} -o /dev/null http://flotilla/v2/machines/${m1.id}
      $~ flotilla list-units --no-legend --fields unit,machine,active --unit store.service
      store.service	m1	active
      $ flotilla explain store | sed 's/, since.*//'
      store.service
          State: placed: it has a machine, and stays there
        Machine: m1
            Why: it was there, and no rule takes it away
           Rank: 1 of 1 machine that would take it anew
          Rules: 3 machines
                 metadata  leaves 1
       Takes it: 1. m1: 0 other units
      $ flotilla explain 6d31 | grep Units
          Units: store.service
      `,
      byName,
    );
  });
});
