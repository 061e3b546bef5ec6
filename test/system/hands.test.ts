// What people do by hand, typed into a shell against live clusters and compared as text: the client's scenarios of fleet, and
// what is beside git. Each name has the scenario's id.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Cluster } from "./cluster.ts";
import { besideGit, repository } from "./hands/beside-git.ts";
import { commands } from "./hands/commands.ts";
import { fleetctl } from "./hands/fleetctl.ts";
import { placement } from "./hands/placement.ts";
import { type Scenario, service } from "./hands/scenario.ts";
import { Shell, anywhere, byName } from "./transcript.ts";

/** Most of a scenario is waiting. */
const atOnce = 4;
let shells = 0;

/** A shell of its own for each scenario, at the first machine's agent unless told otherwise. */
async function openShell(cluster: Cluster, files: Scenario["files"] = {}, at = "m1"): Promise<Shell> {
  return Shell.open(
    {
      directory: join(cluster.directory, `shell-${++shells}`),
      socket: cluster.machine(at).socket,
      machines: cluster.machines,
    },
    files,
  );
}

async function play(cluster: Cluster, { files, says, namesMachines }: Scenario): Promise<void> {
  const shell = await openShell(cluster, files);
  await shell.follow(says, namesMachines === true ? byName : anywhere);
}

/** Every agent answers, and sees all machines and a leader. */
async function settled(cluster: Cluster): Promise<void> {
  await cluster.until("every machine and a leader", async () => {
    const all = await Promise.all(cluster.machines.map((machine) => machine.look()));
    return all.every(({ status }) => status.machines.alive === all.length && status.leader !== undefined);
  });
}

describe("units by hand", { concurrency: 2, timeout: 600_000 }, () => {
  describe("three machines without a repository", { concurrency: 1 }, () => {
    let cluster: Cluster;
    before(async () => {
      cluster = await Cluster.start({ metadata: ["number=1", "number=2", "number=3"] });
      await settled(cluster);
    });
    after(() => cluster.close());

    describe("typed", { concurrency: atOnce }, () => {
      for (const scenario of [...commands, ...placement, ...fleetctl]) {
        test(`${scenario.id}: ${scenario.what}`, () => play(cluster, scenario));
      }
    });

    test("F-501: units of a machine that is cut off come up elsewhere, and stay together", async () => {
      const shell = await openShell(cluster, {
        "sail.service": service('[X-Fleet]\nMachineMetadata="number=2" "number=3"\n'),
        "mast.service": service("[X-Fleet]\nMachineOf=sail.service\n"),
      });
      await shell.follow(`
        $ flotilla start sail mast | wc -l
        2
      `);
      const { units } = await cluster.look();
      const home = units.find(({ name }) => name === "sail.service")?.machine.hostname ?? "";
      await cluster.machine(home).kill();
      const other = home === "m2" ? "m3" : "m2";
      await shell.follow(
        `
        $~ flotilla list-units --no-legend --unit sail.service --unit mast.service
        mast.service	${other}	active	running
        sail.service	${other}	active	running
        $ flotilla list-machines --no-legend | wc -l
        2
        `,
        byName,
      );
    });
  });

  describe("two machines with a repository", { concurrency: 1 }, () => {
    let cluster: Cluster;
    before(async () => {
      cluster = await Cluster.start({ machines: 2, units: repository });
      await settled(cluster);
      await cluster.untilActive(4);
    });
    after(() => cluster.close());

    for (const scenario of besideGit) {
      test(`${scenario.id}: ${scenario.what}`, () => play(cluster, scenario));
    }

    test("hold: it outlives a new commit, a change of leader and the agent's restart", async () => {
      const shell = await openShell(cluster);
      // A machine whose agent was killed may be taken for gone: wherever the unit is, nobody starts it
      const startsOf = async (): Promise<number> => {
        const journal = "journalctl --user-unit db.service --output cat";
        const words = cluster.machines.map(({ id }) => `flotilla ssh ${id} -- '${journal}'`);
        const told = await shell.type(`(${words.join("; ")}) | grep -c Started`);
        return Number(told.stdout);
      };
      const stays = async (): Promise<void> =>
        shell.follow(`
          $ flotilla list-units --no-legend --fields unit,active,sub,hold --unit db.service
          db.service	inactive	dead	loaded by ann@HOST: disk is replaced
        `);
      await shell.follow(`
        $ flotilla stop --reason 'disk is replaced' db 2>&1 | tail -1
        Successfully stopped units [db.service].
      `);
      const starts = await startsOf();
      await stays();

      await cluster.commit({ "static/db.service": service("Environment=EDITION=2\n") });
      assert.equal((await cluster.sync()).outcome, "adopted");
      const hash = await cluster.until("the new text on the machine", ({ files, units }) => {
        const wanted = files.find(({ name }) => name === "db.service")?.hash;
        return units.some((unit) => unit.name === "db.service" && unit.hash === wanted) && wanted;
      });
      await stays();

      const { status } = await cluster.look();
      const leader = cluster.machines.find(({ id }) => id === status.leader?.machine.id);
      assert.ok(leader);
      await leader.stopAgent("SIGKILL");
      const others = cluster.machines.filter((machine) => machine !== leader);
      await cluster.until("another leader", (sight) => {
        const { leader: now } = sight.status;
        return others.some(({ id }) => id === now?.machine.id) && (now?.epoch ?? 0) > (status.leader?.epoch ?? 0);
      });
      await leader.startAgent();
      await settled(cluster);
      await stays();

      for (const machine of cluster.machines) {
        await machine.stopAgent();
        await machine.startAgent();
      }
      await settled(cluster);
      await stays();
      assert.equal((await cluster.look()).units.find(({ name }) => name === "db.service")?.hash, hash);
      assert.equal(await startsOf(), starts);
      await shell.follow(`
        $ flotilla resume db
        Resumed db.service
        $~ flotilla list-units --no-legend --fields unit,active,hold --unit db.service
        db.service	active	-
      `);
      assert.equal(await startsOf(), starts + 1);
    });

    test("git takes over a name, and says so", async () => {
      const shell = await openShell(cluster, { "later.service": service("Environment=BY=hand\n") });
      await shell.follow(`
        $ flotilla start later
        Unit later.service launched on MACHINE
        $ flotilla list-unit-files --no-legend --fields unit,source --unit later.service
        later.service	submitted
      `);
      await cluster.commit({ "static/later.service": service("Environment=BY=git\n") });
      assert.equal((await cluster.sync()).outcome, "adopted");
      await shell.follow(`
        $ flotilla list-unit-files --no-legend --fields unit,source,file --unit later.service
        later.service	git	static/later.service
        $~ flotilla events --lines 1 later.service
        TIME  The repository now has later.service: what was submitted by hand gives way
        $ flotilla destroy later
        [stderr] flotilla: Cannot destroy unit "later.service": the repository has it in static/later.service
        [stderr] hint: Remove static/later.service there and commit; flotilla unload later.service holds it meanwhile
        [exit 1]
        $ flotilla cat later | tail -1
        Environment=BY=git
      `);
      await cluster.commit({ "static/later.service": null });
      assert.equal((await cluster.sync()).outcome, "adopted");
      // Nobody's any more: what was submitted has gone with its taking over
      await shell.follow(`
        $~ flotilla list-units --no-legend --unit later.service
        $ flotilla cat later
        [stderr] flotilla: Cannot find unit "later.service"
        [stderr] hint: flotilla list-unit-files shows every unit
        [exit 1]
      `);
    });

    test("settings forbid units by hand: what was submitted goes, and holds stay possible", async () => {
      const files = { "mine.service": service(), "more.service": service() };
      await (
        await openShell(cluster, files)
      ).follow(`
        $ flotilla start mine
        Unit mine.service launched on MACHINE
      `);
      for (const machine of cluster.machines) {
        await machine.stopAgent();
        await machine.startAgent("AllowSubmit=no\n");
      }
      await settled(cluster);
      const shell = await openShell(cluster, files);
      await shell.follow(`
        $~ flotilla list-units --no-legend --fields unit,active
        db.service	active
        idle.service	active
        web@1.service	active
        web@2.service	active
        $ flotilla submit more.service
        [stderr] flotilla: Cannot take unit "more.service" by hand: this machine takes units from git alone
        [stderr] hint: Commit it to the repository; [Agent] AllowSubmit= says so
        [exit 1]
        $ flotilla start more.service
        [stderr] flotilla: Cannot take unit "more.service" by hand: this machine takes units from git alone
        [stderr] hint: Commit it to the repository; [Agent] AllowSubmit= says so
        [exit 1]
        $ flotilla destroy mine
        [stderr] flotilla: Cannot find unit "mine.service"
        [stderr] hint: flotilla list-unit-files shows every unit
        [exit 1]
        $ flotilla stop db
        Unit db.service loaded on MACHINE
        [stderr] Unit db.service is held at loaded; the repository wants it launched: flotilla resume db.service
        [stderr] Successfully stopped units [db.service].
        $ flotilla start db
        Unit db.service launched on MACHINE
        [stderr] The hold on unit db.service is lifted: it is launched again, as the repository wants it
      `);
    });
  });
});
