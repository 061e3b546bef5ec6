// Machines that operators keep units off or empty, typed into a shell against a live cluster: real systemds, a real etcd, and the
// leader that carries it out.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { Cluster, loop } from "./cluster.ts";
import { Shell, byName } from "./transcript.ts";

const drainedMachine = "m3";
/** Takes so long to stop that one sees what happens meanwhile. */
const slowly = "ExecStop=/bin/sleep 4\n";

describe("maintenance of three machines", { concurrency: 1, timeout: 600_000 }, () => {
  let cluster: Cluster;
  let shells = 0;

  before(async () => {
    cluster = await Cluster.start({ metadata: ["number=1", "number=2", "number=3"] });
    await settled();
  });
  after(() => cluster.close());
  afterEach(async () => {
    const shell = await open();
    await shell.type("flotilla uncordon m1 m2 m3; flotilla destroy '*'");
    await cluster.until("an empty cluster", ({ units, files }) => units.length === 0 && files.length === 0);
  });

  /** Every agent answers, and sees all machines and a leader. */
  async function settled(): Promise<void> {
    await cluster.until("every machine and a leader", async () => {
      const all = await Promise.all(cluster.machines.map((machine) => machine.look()));
      return all.every(({ status }) => status.machines.alive === all.length && status.leader !== undefined);
    });
  }

  async function open(files: Readonly<Record<string, string>> = {}): Promise<Shell> {
    const directory = join(cluster.directory, `shell-${++shells}`);
    return Shell.open({ directory, socket: cluster.machine("m1").socket, machines: cluster.machines }, files);
  }

  /** Has units run on the machine that is to be drained, and lets go of them: from then on they may run anywhere. */
  async function startThere(names: readonly string[], text = loop()): Promise<Shell> {
    const shell = await open(Object.fromEntries(names.map((name) => [name, text])));
    await shell.follow(
      `
      $ flotilla cordon m1 m2 | wc -l
      2
      $ flotilla start ${names.join(" ")} | sort
      ${names.map((name) => `Unit ${name} launched on m3`).join("\n      ")}
      $ flotilla uncordon m1 m2 | wc -l
      2
      `,
      byName,
    );
    return shell;
  }

  /** Names of units that are meant to be on a machine and are active there. */
  async function activeOn(...machines: readonly string[]): Promise<readonly string[]> {
    const { units } = await cluster.look();
    return units
      .filter(({ machine, active, target }) => {
        return machines.includes(machine.hostname) && active === "active" && target === "launched";
      })
      .map(({ name }) => name)
      .sort();
  }

  test("a machine that is cordoned keeps what it has and takes nothing new, until it is uncordoned", async () => {
    const onlyThere = loop("[X-Fleet]\nMachineMetadata=number=3\n");
    const files = { "old.service": onlyThere, "late.service": onlyThere };
    const many = Object.fromEntries([1, 2, 3, 4].map((each) => [`any${each}.service`, loop()]));
    const shell = await open({ ...files, ...many });
    await shell.follow(
      `
      $ flotilla start old
      Unit old.service launched on m3
      $ flotilla cordon m3
      Machine m3 is cordoned: it takes nothing new
      $ flotilla cordon m3
      Machine m3 is cordoned already
      $ flotilla start any1 any2 any3 any4 | wc -l
      4
      $ flotilla list-units --no-legend --fields machine --unit 'any*' | sort | uniq -c | xargs -n 2
      2 m1
      2 m2
      $ flotilla start --timeout 1s late 2>&1 | grep -o '[0-9] machines*: [^:]*(cordoned)' | head -1 | grep -o '^1 machine\\|cordoned)$'
      1 machine
      cordoned)
      [exit 1]
      $ flotilla list-machines --no-legend --fields hostname,state --sort hostname
      m1	-
      m2	-
      m3	cordoned
      $ flotilla list-units --no-legend --fields unit,active,machine --unit old.service
      old.service	active	m3
      $ flotilla uncordon m3
      Machine m3 takes units again
      $~ flotilla list-units --no-legend --fields unit,active,machine --unit late.service
      late.service	active	m3
      $ flotilla uncordon m3
      Machine m3 is not cordoned
      `,
      byName,
    );
    const starts = (await cluster.machine("m3").starts()).filter((name) => name === "old.service");
    assert.equal(starts.length, 1, "it ran on all the time");
  });

  test("a drain moves every unit but global ones, each once, and the machine stays cordoned", async () => {
    const names = [1, 2, 3, 4, 5, 6, 7].map((each) => `d${each}.service`);
    const shell = await startThere(names);
    await shell.write({
      "every.service": loop("[X-Fleet]\nGlobal=true\n"),
      "tail.service": loop("[X-Fleet]\nMachineOf=d1.service\n"),
    });
    await shell.follow(
      `
      $ flotilla start every tail | sort
      Unit every.service launched on m1
      Unit every.service launched on m2
      Unit every.service launched on m3
      Unit tail.service launched on m3
      $ flotilla drain m3 2>said
      Machine m3 is drained
      $ head -1 said
      Draining machine m3: 8 units are left
      $ tail -1 said | grep -o '[0-9] left'
      0 left
      $ grep -c '^Unit d[1-7].service moved to .* (m[12]): [0-7] left$' said
      7
      $ grep -c '^Unit tail.service moved to .* (m[12]): [0-7] left$' said
      1
      $ flotilla list-units --no-legend --fields unit,active --machine m3
      every.service	active
      $ flotilla list-machines --no-legend --fields hostname,state --sort hostname | tail -1
      m3	drained
      `,
      byName,
    );
    assert.deepEqual(await activeOn("m1", "m2"), [...names, "every.service", "every.service", "tail.service"].sort());
    const { units } = await cluster.look();
    const placeOf = (unit: string): string | undefined => units.find(({ name }) => name === unit)?.machine.id;
    assert.equal(placeOf("tail.service"), placeOf("d1.service"), "it moved together with the one that it follows");
    const starts = await Promise.all(["m1", "m2"].map((name) => cluster.machine(name).starts()));
    for (const name of names) assert.equal(starts.flat().filter((each) => each === name).length, 1, name);
    await shell.follow(
      `
      $ flotilla drain m3
      Machine m3 is drained
      [stderr] Draining machine m3: 0 units are left
      $ flotilla uncordon m3
      Machine m3 takes units again
      $ flotilla list-machines --no-legend --fields hostname,state --sort hostname | tail -1
      m3	-
      `,
      byName,
    );
  });

  test("a drain for which there is no room stops, says why each unit stays, and leaves it running", async () => {
    const shell = await startThere(["free.service"]);
    await shell.write({
      "bound.service": loop("[X-Fleet]\nMachineMetadata=number=3\n"),
      "last.service": loop("[X-Fleet]\nMachineMetadata=number=3\nMachineOf=bound.service\n"),
    });
    await shell.follow(
      `
      $ flotilla start bound last | sort
      Unit bound.service launched on m3
      Unit last.service launched on m3
      $ flotilla drain m3 2>said
      [exit 1]
      $ head -1 said
      Draining machine m3: 3 units are left
      $ grep -c '^Unit free.service moved to' said
      1
      $ grep '^Unit [a-z.]* stays' said
      Unit bound.service stays: 2 machines: needs number=3 (metadata)
      Unit last.service stays
      $ grep -o 'flotilla: Cannot drain machine .* any further' said
      flotilla: Cannot drain machine m3 any further
      $ tail -1 said
      hint: What is left runs on there, and the machine stays cordoned: flotilla uncordon m3
      $ flotilla list-machines --no-legend --fields hostname,state --sort hostname | tail -1
      m3	drain stopped, 2 left
      $ flotilla status | grep -c 'drain stopped, 2 left: .* (m3): .*bound.service'
      1
      $ flotilla drain m3 --json 2>/dev/null | grep -c '"unit": "bound.service"'
      1
      [exit 1]
      `,
      byName,
    );
    assert.deepEqual(await activeOn(drainedMachine), ["bound.service", "last.service"]);
    const starts = (await cluster.machine(drainedMachine).starts()).filter((name) => name === "bound.service");
    assert.equal(starts.length, 1, "it ran on all the time");
  });

  test("a deadline stops a drain; what had not set out by then runs on", async () => {
    const names = [1, 2, 3, 4, 5, 6, 7, 8].map((each) => `slow${each}.service`);
    const shell = await startThere(names, loop(slowly));
    await shell.follow(
      `
      $ flotilla drain m3 --deadline 2s 2>said
      [exit 1]
      $ grep -o 'any further: the deadline has passed' said
      any further: the deadline has passed
      `,
      byName,
    );
    const there = await cluster.until("what had set out has arrived", async () => {
      const elsewhere = await activeOn("m1", "m2");
      const here = await activeOn(drainedMachine);
      return here.length + elsewhere.length === names.length && elsewhere.length > 0 && here;
    });
    assert.ok(there.length > 0, "the steps are bounded");
    const starts = await cluster.machine(drainedMachine).starts();
    for (const name of there) assert.equal(starts.filter((each) => each === name).length, 1, `${name} ran on`);
  });

  test("Ctrl-C ends the waiting and not the drain; an uncordoning ends the drain", async () => {
    const names = [1, 2, 3, 4, 5, 6, 7, 8].map((each) => `calm${each}.service`);
    const shell = await startThere(names, loop(slowly));
    await shell.follow(
      `
      $ timeout --foreground --preserve-status --signal INT 1 flotilla drain m3 2>said
      [exit 130]
      $ tail -1 said
      Not waiting any longer; the drain of machine m3 goes on: flotilla uncordon m3 ends it
      $ flotilla list-machines --no-legend --fields hostname,state --sort hostname | tail -1 | grep -o 'draining, [1-8] left'
      draining, 8 left
      $ flotilla uncordon m3
      Machine m3 takes units again; its drain is ended, and what has moved stays where it is
      `,
      byName,
    );
    await cluster.until("what had set out has arrived", async () => (await activeOn("m1", "m2", "m3")).length === 8);
    assert.ok((await activeOn(drainedMachine)).length > 0, "nothing more has left");
    await shell.follow(
      `
      $ flotilla drain m3 --no-wait
      Draining machine m3: flotilla list-machines says how far it is
      $ flotilla drain m3 2>said
      Machine m3 is drained
      $ head -1 said | sed 's/[1-8] units* [a-z]* left/some are left/'
      Draining machine m3, as ann@HOST began SPAN ago: some are left
      `,
      byName,
    );
    assert.equal((await activeOn("m1", "m2")).length, 8);
  });

  test("a drain outlives the leader that began it", async () => {
    const names = [1, 2, 3, 4, 5, 6, 7, 8].map((each) => `long${each}.service`);
    const shell = await startThere(names, loop(slowly));
    await shell.follow(
      `
      $ flotilla drain m3 --no-wait
      Draining machine m3: flotilla list-machines says how far it is
      `,
      byName,
    );
    const { leader } = (await cluster.look()).status;
    const first = cluster.machines.find(({ id }) => id === leader?.machine.id);
    assert.ok(first);
    await first.stopAgent("SIGKILL");
    await first.startAgent();
    await cluster.until("all have moved", async () => (await activeOn("m1", "m2")).length === names.length, 90_000);
    await cluster.until("another leader", ({ status }) => (status.leader?.epoch ?? 0) > (leader?.epoch ?? Infinity));
    await shell.follow(
      `
      $~ flotilla list-machines --no-legend --fields hostname,state --sort hostname | tail -1
      m3	drained
      $ flotilla events | grep drain | tail -1 | grep -o 'm3 is drained'
      m3 is drained
      `,
      byName,
    );
    assert.deepEqual(await activeOn(drainedMachine), []);
  });
});
