import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { joinEtcd } from "../../../agent/bootstrap/join.ts";
import { environmentFile, learnedFile, noteFile, recordFile } from "../../../agent/bootstrap/join-files.ts";
import { expectedClusterId, ownId, readRecord } from "../../../agent/discovery/discovery.ts";
import type { JoinProgress, JoinRecord, LiveMember } from "../../../agent/domain/discovery.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import { type EtcdDiscovery, type EtcdSettings, Secret } from "../../../agent/domain/settings.ts";
import { FakeClock } from "../../fakes/fake-clock.ts";
import { FakeNames, FakeReach, FakeToken, unreachableStore } from "../../fakes/fake-discovery.ts";
import { MemoryDisk } from "../../fakes/memory-disk.ts";
import { MemoryLog } from "../../fakes/memory-log.ts";

const url = "http://store/abcd1234";
const noTls = { caFile: undefined, certFile: undefined, keyFile: undefined };
const byToken: EtcdDiscovery = { kind: "v2", url, username: undefined, password: undefined, tls: noTls };

const peer = (number: number): string => `http://10.0.0.${number}:2380`;
const clientUrl = (number: number): string => `http://10.0.0.${number}:2379`;
const peers = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ name: `m${index + 1}`, peerUrls: [peer(index + 1)] }));
const clusterOf = (count: number): string => expectedClusterId(peers(count), url);

/** A member of a live cluster; `up`: it has come up once. */
function live(number: number, { up = true, name = `m${number}` }: { up?: boolean; name?: string } = {}): LiveMember {
  return { id: `${number}`, name, peerUrls: [peer(number)], clientUrls: up ? [clientUrl(number)] : [] };
}

interface MachineOptions {
  readonly number?: number;
  readonly discovery?: EtcdDiscovery;
  readonly role?: "member" | "client";
  readonly peerUrls?: readonly string[];
  readonly name?: string;
}

/** A machine with a disk, beside a token's store and a cluster that several share. */
class Machine {
  readonly disk = new MemoryDisk();
  readonly run = new MemoryDisk();
  readonly log = new MemoryLog();
  readonly names = new FakeNames();
  hasLog = false;
  /** Whether it can be told at all. */
  isDataReadable = true;
  /** Whether some process holds the lock. */
  isLocked = false;
  machineId = "1".repeat(32);
  readonly settings: EtcdSettings;
  readonly #world: World;
  readonly #number: number;

  constructor(world: World, options: MachineOptions) {
    const { number = 1, discovery = byToken, role = "member", peerUrls = [peer(number)], name } = options;
    this.#world = world;
    this.#number = number;
    this.settings = {
      ...{ role, name, peerUrls, clientUrls: [clientUrl(number)], dataDirectory: "/etcd", discovery, peerTls: noTls },
    };
  }

  start(how: { readonly once?: boolean; readonly settings?: Partial<EtcdSettings> } = {}) {
    const over = new AbortController();
    const { clock, token, reach } = this.#world;
    const settings = { ...this.settings, ...how.settings };
    let outcome: unknown;
    const done = joinEtcd(
      {
        ...{ settings, name: `m${this.#number}`, hostname: `m${this.#number}`, publicIp: `10.0.0.${this.#number}` },
        ...{ disk: this.disk, run: this.run, names: this.names, reach, clock, log: this.log, once: how.once ?? false },
        ...{ data: { hasLog: () => this.#look() }, machineId: this.machineId },
        lock: {
          take: async () => {
            if (this.isLocked) throw new Problem("discovery-running", "Cannot begin");
            this.isLocked = true;
            return async () => void (this.isLocked = false);
          },
          holder: async () => undefined,
        },
        store: ["v2", "v3"].includes(settings.discovery.kind) ? token.connect() : undefined,
      },
      over.signal,
    ).then(
      (record) => (outcome = record),
      (error: unknown) => (outcome = error),
    );
    return {
      /** Lets time pass until it is over. */
      end: async (mostMs = 60_000): Promise<JoinRecord> => {
        await clock.advanceUntil(() => outcome !== undefined, mostMs, 100);
        if (outcome instanceof Error) throw outcome;
        return outcome as JoinRecord;
      },
      stop: async (): Promise<void> => {
        over.abort(new Problem("aborted", "Cannot go on"));
        await done;
      },
    };
  }

  join(how: { readonly once?: boolean; readonly settings?: Partial<EtcdSettings> } = {}): Promise<JoinRecord> {
    return this.start(how).end();
  }

  async #look(): Promise<boolean> {
    if (!this.isDataReadable) throw new Problem("disk-read", "Cannot look for etcd's data");
    return this.hasLog;
  }

  get progress(): JoinProgress {
    return JSON.parse(this.run.files.get("discovery.json") ?? "null") as JoinProgress;
  }

  get kept(): JoinRecord | undefined {
    const record = readRecord(this.disk.files.get(recordFile));
    assert.ok(record.ok);
    return record.value;
  }

  get environment(): string {
    return this.disk.files.get(environmentFile) ?? "";
  }

  /** What an agent leaves once it has been in touch. */
  inTouchWith(clusterId: string): void {
    this.disk.files.set(learnedFile, JSON.stringify({ clusterId, endpoints: [clientUrl(1)] }));
  }
}

class World {
  readonly clock = new FakeClock();
  readonly token = new FakeToken(this.clock, "3");
  readonly reach = new FakeReach();

  machine(options: MachineOptions = {}): Machine {
    return new Machine(this, options);
  }

  register(...numbers: readonly number[]): void {
    for (const number of numbers) this.token.put(ownId([peer(number)], url), `m${number}=${peer(number)}`);
  }

  up(...numbers: readonly number[]): void {
    this.reach.cluster = { clusterId: clusterOf(3), members: numbers.map((number) => live(number)) };
  }

  /** Of a cluster of three all but the first, whose disk is gone. */
  upWithoutFirst(): void {
    this.up(1, 2, 3);
    this.reach.only = new Set([2, 3].flatMap((number) => [peer(number), clientUrl(number)]));
  }
}

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof Problem, String(error));
    return `${error.code}: ${error.message} (${error.hint ?? ""})`;
  }
  return "none";
}

suite("joining etcd", () => {
  test("first boot, by token: registers, waits, and keeps the list before it says that it is done", async () => {
    const world = new World();
    const m1 = world.machine();
    const joining = m1.start();
    await world.clock.advance(100);
    assert.deepEqual(
      { ...m1.progress, sinceMs: 0 },
      {
        state: "waiting",
        what: "waiting for 2 of 3 members: m1 is registered",
        sinceMs: 0,
        tries: 0,
        lastError: "",
        missing: 2,
      },
    );
    assert.equal(m1.disk.files.has(recordFile), false);
    world.register(2);
    await world.clock.advance(500);
    assert.equal(m1.progress.missing, 1);
    world.register(3);
    const record = await joining.end();
    assert.deepEqual(m1.kept, record);
    assert.equal(record.clusterId, clusterOf(3));
    assert.deepEqual(record.endpoints, [clientUrl(1)]);
    assert.equal(
      m1.environment,
      [
        "# Written by flotilla discovery join. Changes are lost.",
        "ETCD_NAME=m1",
        `ETCD_INITIAL_ADVERTISE_PEER_URLS=${peer(1)}`,
        `ETCD_INITIAL_CLUSTER=m1=${peer(1)},m2=${peer(2)},m3=${peer(3)}`,
        "ETCD_INITIAL_CLUSTER_STATE=new",
        `ETCD_INITIAL_CLUSTER_TOKEN=${url}`,
        "",
      ].join("\n"),
    );
    assert.equal(m1.progress.state, "done");
    assert.equal(m1.disk.files.has(noteFile), false);
    assert.deepEqual(world.reach.calls, [`peers ${peer(2)} ${peer(3)}`], "asked once, and nobody has to answer");
    assert.equal(world.clock.sleeping, 0);
    assert.deepEqual(m1.log.events("info"), [
      "discovery.asking",
      "discovery.waiting",
      "discovery.waiting",
      "discovery.done",
    ]);
  });

  test("a restart while waiting: the same id and value, also when the others have come in between", async () => {
    const world = new World();
    const m1 = world.machine();
    const first = m1.start();
    await world.clock.advance(100);
    await first.stop();
    world.register(2, 3);
    // Two of three have formed it meanwhile
    world.reach.cluster = { clusterId: clusterOf(3), members: [live(1, { up: false }), live(2), live(3)] };
    assert.equal((await m1.join()).member?.state, "new");
    assert.equal(world.token.entries.length, 3);
  });

  test("two at once: the second is refused, and changes nothing of the first", async () => {
    const world = new World();
    const m1 = world.machine();
    const joining = m1.start();
    await world.clock.advance(100);
    const { progress } = m1;
    const { asked } = world.token;
    assert.match(await refusal(m1.join({ once: true })), /^discovery-running/);
    assert.deepEqual(m1.progress, progress);
    assert.equal(world.token.asked, asked);
    assert.ok(m1.isLocked, "the first still has it");
    world.register(2, 3);
    await joining.end();
    assert.ok(!m1.isLocked);
    const given = world.machine({ number: 5 });
    const up = given.start();
    await up.stop();
    assert.ok(!given.isLocked, "given back also where it is given up");
  });

  for (const { name, members, clusterId = clusterOf(3), expect } of [
    { name: "nobody answers", members: undefined, expect: "member new" },
    { name: "it is forming", members: [live(2, { up: false }), live(3, { up: false })], expect: "member new" },
    { name: "it is expected", members: [live(1, { up: false }), live(2), live(3)], expect: "member new" },
    {
      name: "an operator has taken it out and in again",
      members: [live(1, { up: false, name: "" }), live(2), live(3)],
      expect: "member existing",
    },
    { name: "an operator has taken it out", members: [live(2), live(3)], expect: "client undefined" },
    {
      name: "they are in another cluster",
      members: [live(1, { up: false }), live(2), live(3)],
      clusterId: "beef",
      expect: "discovery-other-cluster",
    },
  ])
    test(`cut off after it registered, the others have gone on without it: ${name}`, async () => {
      const world = new World();
      const m1 = world.machine();
      const first = m1.start();
      await world.clock.advance(100);
      await first.stop();
      world.register(2, 3);
      if (members !== undefined) world.reach.cluster = { clusterId, members };
      const words = await m1.join().then(
        ({ role, member }) => `${role} ${member?.state}`,
        (error: unknown) => (error instanceof Problem ? error.code : String(error)),
      );
      assert.equal(words, expect);
    });

  test("a crash between the note and the registration, and one whose outcome nobody knows", async () => {
    const world = new World();
    const m1 = world.machine();
    m1.disk.files.set(noteFile, JSON.stringify({ kind: "registering", token: url, id: ownId([peer(1)], url) }));
    const joining = m1.start();
    await world.clock.advance(100);
    assert.equal(world.token.entries.length, 1);
    await joining.stop();
    world.register(2, 3);
    assert.equal((await m1.join()).member?.state, "new");
  });

  test("reboot of a member with data: nobody is asked, whatever the settings say now", async () => {
    const world = new World();
    const m1 = world.machine();
    world.register(2, 3);
    const record = await m1.join();
    m1.hasLog = true;
    m1.disk.files.delete(environmentFile); // a crash before it was written
    const { asked } = world.token;
    world.reach.calls.length = 0;
    const other: EtcdDiscovery = { ...byToken, url: "http://store/other" };
    assert.deepEqual(await m1.join({ settings: { discovery: other } }), record);
    assert.match(m1.environment, /ETCD_NAME=m1/);
    assert.equal(world.token.asked, asked);
    assert.deepEqual(world.reach.calls, []);
    assert.deepEqual(m1.log.events("warn"), ["discovery.other-way"]);
  });

  test("etcd's data without a record: it is a member, by its data", async () => {
    const world = new World();
    const m1 = world.machine();
    m1.hasLog = true;
    const record = await m1.join();
    assert.deepEqual([record.role, record.member?.state, record.endpoints], ["member", "existing", [clientUrl(1)]]);
    assert.equal(world.token.asked, 0);
  });

  test("a damaged record is for a person, unless etcd's data tells", async () => {
    const world = new World();
    const m1 = world.machine();
    m1.disk.files.set(recordFile, '{"role":"member"');
    assert.match(await refusal(m1.join()), /^join-record: Cannot use the file etcd-cluster.json/);
    m1.hasLog = true;
    assert.equal((await m1.join()).role, "member");
  });

  test("an unreachable service: bounded pauses, one line of the log, tries and the last error in what is shown", async () => {
    const world = new World();
    world.token.trouble = unreachableStore();
    const m1 = world.machine();
    const joining = m1.start();
    await world.clock.advance(600_000);
    const { tries, what, state, lastError } = m1.progress;
    assert.ok(tries >= 18 && tries <= 40, `${tries} tries in ten minutes`);
    assert.equal(state, "waiting");
    assert.match(
      what,
      /^waiting for discovery service http:\/\/store \(token abcd\.\.\.\): \d+ tries, last error: Cannot reach/,
    );
    assert.match(lastError, /^Cannot reach discovery service/);
    assert.deepEqual(m1.log.events("warn"), ["discovery.waiting"]);
    world.token.trouble = undefined;
    world.register(2, 3);
    await joining.end(40_000);
    assert.equal(world.clock.sleeping, 0);
  });

  test("a service that goes away while it waits", async () => {
    const world = new World();
    const m1 = world.machine();
    const joining = m1.start();
    await world.clock.advance(100);
    world.token.trouble = unreachableStore();
    await world.clock.advance(10_000);
    assert.match(m1.progress.what, /^waiting for discovery service/);
    world.token.trouble = undefined;
    world.register(2, 3);
    await joining.end(40_000);
  });

  test("a service that refuses is final; one whose refusal the token explains is not", async () => {
    const world = new World();
    world.token.trouble = new Problem("discovery-refused", "Cannot use the service");
    const m1 = world.machine();
    assert.match(await refusal(m1.join()), /^discovery-refused/);
    assert.deepEqual([m1.progress.state, m1.progress.what], ["failed", "Cannot use the service"]);

    const late = new World();
    late.token.refusal = new Problem("discovery-refused", "Cannot use the service: the cluster is full");
    assert.match(await refusal(late.machine().join()), /the cluster is full/);
    const m4 = late.machine({ number: 4 });
    const joining = m4.start();
    late.register(1, 2, 3);
    late.up(1, 2, 3);
    assert.equal((await joining.end()).role, "client");
  });

  test("a token that is made later", async () => {
    const world = new World();
    world.token.size = undefined;
    const m1 = world.machine();
    const joining = m1.start();
    await world.clock.advance(5_000);
    assert.match(m1.progress.what, /there is no such token \(flotilla discovery new makes one\)/);
    world.token.size = "1";
    assert.equal((await joining.end()).size, 1);
  });

  test("--once waits for nobody", async () => {
    const world = new World();
    const m1 = world.machine();
    assert.match(
      await refusal(m1.join({ once: true })),
      /^discovery-waiting: Cannot join etcd yet: waiting for 2 of 3 members: m1 is registered/,
    );
    world.token.trouble = unreachableStore();
    assert.match(await refusal(m1.join({ once: true })), /^discovery-waiting/);
  });

  test("a duplicate name is refused before it registers", async () => {
    const world = new World();
    world.register(2);
    const twin = world.machine({ number: 1, name: "m2" });
    assert.match(await refusal(twin.join()), /^discovery-duplicate/);
    assert.equal(world.token.entries.length, 1);
    assert.equal(twin.disk.files.size, 0);
  });

  test("full: a client with the endpoints that members publish, once they do", async () => {
    const world = new World();
    world.register(1, 2, 3);
    const m4 = world.machine({ number: 4 });
    const joining = m4.start();
    await world.clock.advance(20_000);
    assert.match(m4.progress.what, /^waiting for etcd: the 3 members of .* are known, and none is up yet: \d+ tries/);
    world.reach.cluster = { clusterId: clusterOf(3), members: [1, 2, 3].map((number) => live(number, { up: false })) };
    await world.clock.advance(10_000);
    world.up(1, 2, 3);
    const record = await joining.end(10_000);
    assert.deepEqual(record, {
      ...{
        role: "client",
        name: "m4",
        machineId: "1".repeat(32),
        how: "v2",
        token: url,
        size: 3,
        members: peers(3),
        clusterId: clusterOf(3),
      },
      ...{ endpoints: [1, 2, 3].map(clientUrl), decidedAtMs: record.decidedAtMs },
    });
    assert.equal(m4.environment, "");
    assert.equal(world.token.entries.length, 3);
  });

  test("Role=client never registers, also where there is room", async () => {
    const world = new World();
    const client = world.machine({ number: 9, role: "client", peerUrls: [] });
    const joining = client.start();
    await world.clock.advance(1_000);
    assert.deepEqual(world.token.entries, []);
    world.register(1, 2, 3);
    world.up(1, 2, 3);
    assert.equal((await joining.end()).role, "client");
  });

  test("members that publish no usable client URL are waited for", async () => {
    const world = new World();
    world.register(1, 2, 3);
    const local = { ...live(1), clientUrls: ["http://localhost:2379"] };
    world.reach.cluster = { clusterId: clusterOf(3), members: [local, live(2, { up: false })] };
    const m4 = world.machine({ number: 4 });
    const joining = m4.start();
    await world.clock.advance(1_000);
    assert.match(m4.progress.what, /client URL of etcd that this machine can use/);
    world.up(1, 2, 3);
    await joining.end();
  });

  suite("lost disk", () => {
    test("the cluster answers: out and in again, with what it had noted before", async () => {
      const world = new World();
      world.register(1, 2, 3);
      world.upWithoutFirst();
      const m1 = world.machine();
      const record = await m1.join();
      assert.deepEqual(world.reach.calls.slice(-2), ["remove 1", `add ${peer(1)}`]);
      assert.deepEqual([record.member?.state, record.member?.id], ["existing", "a0"]);
      assert.match(m1.environment, new RegExp(`ETCD_INITIAL_CLUSTER=m2=${peer(2)},m3=${peer(3)},m1=${peer(1)}\n`));
      assert.deepEqual(record.endpoints, [1, 2, 3].map(clientUrl));
      // Before etcd has come up it may be asked again, and says the same
      const { decidedAtMs } = record;
      assert.deepEqual({ ...(await m1.join()), decidedAtMs }, record);
    });

    test("a crash between out and in", async () => {
      const world = new World();
      world.register(1, 2, 3);
      world.upWithoutFirst();
      const m1 = world.machine();
      // `remove` goes well, and every `add` after it does not
      const unhealthy = new Problem("cluster-unhealthy", "Cannot add a member: unhealthy cluster");
      const original = world.reach.connect.bind(world.reach);
      world.reach.connect = (endpoints) => ({ ...original(endpoints), addMember: () => Promise.reject(unhealthy) });
      const joining = m1.start();
      await world.clock.advance(10_000);
      assert.match(
        m1.progress.what,
        /^waiting for etcd to take m1 in again: its data is gone: \d+ tries, last error: Cannot add a member/,
      );
      assert.equal(world.reach.cluster?.members.length, 2);
      await joining.stop();
      world.reach.connect = original;
      const record = await m1.join();
      assert.equal(record.member?.state, "existing");
      assert.equal(world.reach.cluster.members.length, 3);
    });

    test("another etcd answers at its own address: nothing is taken out", async () => {
      const world = new World();
      world.register(1, 2, 3);
      world.up(1, 2, 3);
      const original = world.reach.askPeers.bind(world.reach);
      const [m1] = [world.machine()];
      world.reach.only = undefined;
      world.reach.askPeers = (urls, options) => original(urls, options);
      // `up` makes member 1 answer at its own peer URL: somebody runs there
      world.reach.only = new Set([peer(1), peer(2), clientUrl(2)]);
      assert.match(
        await refusal(m1.join()),
        /^discovery-duplicate: Cannot be m1: an etcd answers at http:\/\/10\.0\.0\.1:2380/,
      );
      assert.ok(!world.reach.calls.some((call) => call.startsWith("remove")));
    });

    test("its own address is silent once and answers then: nothing is taken out", async () => {
      const world = new World();
      world.register(1, 2, 3);
      world.up(1, 2, 3);
      const others = new Set([peer(2), peer(3), clientUrl(2), clientUrl(3)]);
      const original = world.reach.askPeers.bind(world.reach);
      let silences = 2;
      world.reach.askPeers = (urls, options) => {
        world.reach.only = urls.includes(peer(1)) && silences-- <= 0 ? undefined : others;
        return original(urls, options);
      };
      assert.match(await refusal(world.machine().join()), /^discovery-duplicate: Cannot be m1: an etcd answers at/);
      assert.ok(!world.reach.calls.some((call) => /^(remove|add)/.test(call)), world.reach.calls.join());
    });

    test("its own address is asked so often, and with pauses, before it is taken out", async () => {
      const world = new World();
      world.register(1, 2, 3);
      world.upWithoutFirst();
      const beganMs = world.clock.monotonicMs();
      await world.machine().join();
      const own = world.reach.calls.filter((call) => call === `peers ${peer(1)}`);
      assert.equal(own.length, 3);
      assert.ok(world.clock.monotonicMs() - beganMs >= 2_000);
      assert.equal(world.clock.sleeping, 0);
    });

    test("its data appears while its members are asked: nothing is taken out", async () => {
      const world = new World();
      world.register(1, 2, 3);
      world.upWithoutFirst();
      const m1 = world.machine();
      const original = world.reach.connect.bind(world.reach);
      world.reach.connect = (endpoints) => {
        const etcd = original(endpoints);
        return {
          ...etcd,
          members: async () => {
            m1.hasLog = true;
            return etcd.members();
          },
        };
      };
      const record = await m1.join();
      assert.deepEqual([record.role, record.member?.id], ["member", undefined]);
      assert.ok(!world.reach.calls.some((call) => /^(remove|add)/.test(call)), world.reach.calls.join());
      assert.equal(m1.disk.files.has(noteFile), false);
    });

    test("its data is there after all, on a disk that was mounted late: it is the member that it was", async () => {
      const world = new World();
      world.register(1, 2, 3);
      const m1 = world.machine();
      const joining = m1.start();
      await world.clock.advance(60_000);
      assert.match(m1.progress.what, /^waiting for a member that is up/);
      m1.hasLog = true;
      world.upWithoutFirst();
      await joining.end(20_000);
      assert.ok(!world.reach.calls.some((call) => /^(remove|add)/.test(call)), world.reach.calls.join());
    });

    test("a copy of a member's disk is another machine, and is refused with data and without", async () => {
      const world = new World();
      world.register(1, 2, 3);
      world.up(1, 2, 3);
      const m1 = world.machine();
      m1.hasLog = true;
      await m1.join();
      m1.machineId = "2".repeat(32);
      for (const hasLog of [true, false]) {
        m1.hasLog = hasLog;
        m1.disk.files.set(environmentFile, "ETCD_NAME=m1\n"); // on the copied disk
        assert.match(await refusal(m1.join()), /^join-copied: Cannot be m1: this disk is a copy of another machine's/);
        assert.equal(m1.environment, "", "etcd would start on a refusal, too");
      }
      m1.isDataReadable = false;
      m1.disk.files.set(environmentFile, "ETCD_NAME=m1\n");
      assert.match(await refusal(m1.join()), /^join-copied/);
      assert.equal(m1.environment, "");
      assert.ok(!world.reach.calls.some((call) => /^(remove|add)/.test(call)), world.reach.calls.join());
    });

    test("an entry of its own id that is no member: of version 2 the whole token is refused", async () => {
      const world = new World();
      world.token.put(ownId([peer(1)], url), "no member");
      assert.match(await refusal(world.machine().join()), /^discovery-entry: .* is no member/);
    });

    suite("its id is taken, and the token does not show by whom", () => {
      const discovery: EtcdDiscovery = {
        ...{ kind: "v3", token: new Secret("abcd1234"), endpoints: ["http://10.0.0.9:2379"], username: undefined },
        ...{ password: undefined, tls: noTls },
      };
      const id = ownId([peer(1)], "abcd1234");

      /** Has an entry of this id that nobody can read, and has been told so once. */
      async function told(): Promise<{ world: World; m1: Machine; joining: ReturnType<Machine["start"]> }> {
        const world = new World();
        world.token.put(id, "no member");
        const m1 = world.machine({ discovery });
        const joining = m1.start();
        await world.clock.advance(500);
        assert.deepEqual(
          [m1.progress.state, m1.progress.what],
          ["waiting", "waiting for discovery service http://store (token abcd...) to show the entry of this machine"],
        );
        return { world, m1, joining };
      }

      test("it pauses, looks again, and refuses; it does not ask again and again", async () => {
        const { world, m1, joining } = await told();
        const { asked } = world.token;
        assert.match(
          await refusal(joining.end(5_000)),
          /^discovery-duplicate: Cannot register with .*: this machine's id is taken \(Its entry [0-9a-f]+ is no member/,
        );
        assert.equal(world.token.asked - asked, 1, "one more look, and no more registrations");
        assert.equal(m1.progress.state, "failed");
      });

      test("an entry that shows late is its own, and it goes on", async () => {
        const { world, m1, joining } = await told();
        world.token.entries.length = 0;
        world.token.put(id, `m1=${peer(1)}`);
        await world.clock.advance(5_000);
        assert.match(m1.progress.what, /^waiting for 2 of 3 members: m1 is registered$/);
        await joining.stop();
      });
    });

    test("found with data, and the data lost later: it asks by its token, and is no member of nobody's cluster", async () => {
      const world = new World();
      world.register(1, 2, 3);
      const m1 = world.machine();
      m1.hasLog = true;
      await m1.join();
      m1.hasLog = false;
      const joining = m1.start();
      await world.clock.advance(60_000);
      assert.match(m1.progress.what, /^waiting for a member that is up/);
      world.upWithoutFirst();
      assert.equal((await joining.end(20_000)).members.length, 3);
    });

    test("nobody answers: it waits, and never begins anew", async () => {
      const world = new World();
      world.register(1, 2, 3);
      const m1 = world.machine();
      const joining = m1.start();
      await world.clock.advance(3_600_000);
      assert.match(m1.progress.what, /^waiting for a member that is up/);
      assert.equal(m1.environment, "");
      world.upWithoutFirst();
      assert.equal((await joining.end(10_000)).member?.state, "existing");
    });

    test("the token still lacks members: no cluster can have formed, and it goes on", async () => {
      const world = new World();
      world.register(1);
      const m1 = world.machine();
      const joining = m1.start();
      await world.clock.advance(1_000);
      assert.ok(m1.disk.files.has(noteFile));
      world.register(2, 3);
      assert.equal((await joining.end()).member?.state, "new");
    });

    test("the operator has removed it: it is a client", async () => {
      const world = new World();
      world.register(1, 2, 3);
      world.up(2, 3);
      assert.equal((await world.machine().join()).role, "client");
    });

    test("the operator has taken a new machine in: it is a member, although the token is full", async () => {
      const world = new World();
      world.register(1, 2, 3);
      world.reach.cluster = { clusterId: clusterOf(3), members: [live(2), live(3), live(7, { up: false, name: "" })] };
      const m7 = world.machine({ number: 7 });
      const record = await m7.join();
      assert.deepEqual([record.role, record.member?.state, record.member?.id], ["member", "existing", "7"]);
      assert.match(m7.environment, /m7=http:\/\/10\.0\.0\.7:2380/);
    });

    test("of a cluster of one it is for a person", async () => {
      const world = new World();
      world.token.size = "1";
      world.register(1);
      assert.match(await refusal(world.machine().join()), /^discovery-lost/);
    });

    suite("etcd, which starts after discovery however that ends", () => {
      const other: EtcdDiscovery = { ...byToken, url: "http://store/other" };

      async function decided(): Promise<{ readonly world: World; readonly m1: Machine }> {
        const world = new World();
        world.register(2, 3);
        const m1 = world.machine();
        await m1.join();
        m1.inTouchWith(clusterOf(3));
        assert.match(m1.environment, /ETCD_NAME=m1/);
        return { world, m1 };
      }

      test("without its data it has nothing to begin with: refused", async () => {
        const { m1 } = await decided();
        assert.match(await refusal(m1.join({ settings: { discovery: other } })), /^discovery-other-cluster/);
        assert.equal(m1.environment, "");
      });

      test("nor where the decision is damaged", async () => {
        const { m1 } = await decided();
        m1.disk.files.set(recordFile, "{");
        assert.match(await refusal(m1.join()), /^join-record/);
        assert.equal(m1.environment, "");
      });

      test("nor while it waits, or where that was cut off; and has it again once that is decided", async () => {
        const { world, m1 } = await decided();
        const joining = m1.start();
        await world.clock.advance(60_000);
        assert.equal(m1.environment, "");
        await joining.stop();
        assert.equal(m1.environment, "");
        world.upWithoutFirst();
        assert.equal((await m1.join()).member?.state, "existing");
        assert.match(m1.environment, /ETCD_INITIAL_CLUSTER_STATE=existing/);
      });

      test("nor on a client that was a member, where power was lost before it was taken away", async () => {
        const world = new World();
        world.register(1, 2, 3);
        world.up(1, 2, 3);
        const m4 = world.machine({ number: 4 });
        await m4.join();
        m4.disk.files.set(environmentFile, "ETCD_NAME=m4\n");
        m4.hasLog = true;
        world.reach.cluster = { clusterId: "beef", members: [live(1), live(2), live(3)] };
        assert.match(await refusal(m4.join()), /^discovery-other-cluster/);
        assert.equal(m4.environment, "");
      });

      test("a member whose data cannot be looked for may have it", async () => {
        const { m1 } = await decided();
        const { environment } = m1;
        m1.isDataReadable = false;
        assert.match(await refusal(m1.join()), /^disk-read/);
        assert.equal(m1.environment, environment);
      });

      test("a member goes on with its data, also where nothing can be kept", async () => {
        const { m1 } = await decided();
        m1.hasLog = true;
        const { environment } = m1;
        m1.disk.files.delete(recordFile);
        m1.disk.isFull = true;
        assert.match(await refusal(m1.join()), /^disk-write/);
        assert.equal(m1.environment, environment);
      });
    });

    for (const damaged of ["", '{"clusterId":"1', "null", '{"clusterId":"1"}'])
      test(`only etcd's data is gone, and the file that says that it was in touch is damaged: ${damaged}`, async () => {
        const world = new World();
        world.register(2, 3);
        const m1 = world.machine();
        await m1.join();
        m1.disk.files.set(learnedFile, damaged);
        const joining = m1.start();
        await world.clock.advance(600_000);
        assert.match(m1.progress.what, /^waiting for a member that is up: .* may have been in the cluster/);
        assert.deepEqual(m1.log.events("warn"), ["discovery.endpoints-damaged", "discovery.waiting"]);
        world.upWithoutFirst();
        assert.equal((await joining.end()).member?.state, "existing");
      });

    for (const { name, learned, up, expect } of [
      { name: "decided, never up, nobody answers", learned: false, up: false, expect: "new" },
      { name: "decided, the others are up without it", learned: false, up: true, expect: "existing" },
      { name: "was in touch with the cluster", learned: true, up: true, expect: "existing" },
      { name: "was in touch, and nobody answers", learned: true, up: false, expect: "wait" },
    ])
      test(`only etcd's data is gone: ${name}`, async () => {
        const world = new World();
        world.register(2, 3);
        const m1 = world.machine();
        await m1.join();
        if (learned) m1.inTouchWith(clusterOf(3));
        if (up) world.upWithoutFirst();
        const joining = m1.start();
        if (expect !== "wait") assert.equal((await joining.end()).member?.state, expect);
        else {
          await world.clock.advance(600_000);
          assert.equal(m1.progress.state, "waiting");
          await joining.stop();
        }
      });
  });

  suite("wrong token", () => {
    test("the members of the token are in another cluster", async () => {
      const world = new World();
      world.register(1, 2, 3);
      world.reach.cluster = { clusterId: "beef", members: [live(1), live(2), live(3)] };
      assert.match(
        await refusal(world.machine({ number: 4 }).join()),
        /^discovery-other-cluster: .*cluster [0-9a-f]+, and they say beef/,
      );
    });

    test("a client's etcd has become another cluster", async () => {
      const world = new World();
      world.register(1, 2, 3);
      world.up(1, 2, 3);
      const m4 = world.machine({ number: 4 });
      await m4.join();
      world.reach.cluster = { clusterId: "beef", members: [live(1), live(2), live(3)] };
      assert.match(await refusal(m4.join()), /^discovery-other-cluster: Cannot be a client of this etcd/);
    });

    test("another token: refused after contact, taken before it", async () => {
      const world = new World();
      world.register(2, 3);
      const m1 = world.machine();
      await m1.join();
      const other: EtcdDiscovery = { ...byToken, url: "http://store/other" };
      world.token.entries.length = 0;
      world.token.size = "1";
      const before = m1.disk.files.get(recordFile);
      m1.inTouchWith(clusterOf(3));
      assert.match(await refusal(m1.join({ settings: { discovery: other } })), /^discovery-other-cluster/);
      assert.equal(m1.disk.files.get(recordFile), before);
      m1.disk.files.delete(learnedFile);
      assert.equal((await m1.join({ settings: { discovery: other } })).token, "http://store/other");
    });
  });

  suite("reboot of a client", () => {
    async function client(): Promise<{ readonly world: World; readonly m4: Machine }> {
      const world = new World();
      world.register(1, 2, 3);
      world.up(1, 2, 3);
      const m4 = world.machine({ number: 4 });
      await m4.join();
      world.reach.calls.length = 0;
      return { world, m4 };
    }

    test("its stored endpoints first, and what the cluster says of itself now", async () => {
      const { world, m4 } = await client();
      world.up(1, 2, 7);
      world.token.trouble = unreachableStore();
      assert.deepEqual((await m4.join()).endpoints, [1, 2, 7].map(clientUrl));
      assert.deepEqual(world.reach.calls, []);
    });

    test("what the agent kept is damaged: the endpoints of the decision do", async () => {
      const { world, m4 } = await client();
      m4.disk.files.set(learnedFile, "{");
      world.up(1, 2, 7);
      assert.deepEqual((await m4.join()).endpoints, [1, 2, 7].map(clientUrl));
    });

    test("nobody answers: what it has must do, within seconds", async () => {
      const { world, m4 } = await client();
      world.reach.cluster = undefined;
      const record = m4.kept;
      const beganMs = world.clock.monotonicMs();
      assert.deepEqual(await m4.join(), record);
      assert.ok(world.clock.monotonicMs() - beganMs <= 5_100);
      assert.equal(world.clock.sleeping, 0);
    });

    test("it has been taken in as a member meanwhile", async () => {
      const { world, m4 } = await client();
      world.reach.cluster = { clusterId: clusterOf(3), members: [live(1), live(2), live(4, { up: false, name: "" })] };
      assert.deepEqual((await m4.join()).member?.state, "existing");
      assert.match(m4.environment, /ETCD_INITIAL_CLUSTER_STATE=existing/);
    });
  });

  suite("static list", () => {
    const list = (count: number, state: "new" | "existing" = "new"): EtcdDiscovery => ({
      ...{ kind: "static", initialCluster: peers(count).map(({ name, peerUrls }) => `${name}=${peerUrls.join()}`) },
      ...{ token: "etcd-cluster", state },
    });
    const learnedId = expectedClusterId(peers(3), "etcd-cluster");

    test("first boot: nobody is registered, nobody answers, it begins", async () => {
      const world = new World();
      const record = await world.machine({ discovery: list(3) }).join();
      assert.deepEqual([record.member?.state, record.size, record.clusterId], ["new", 3, learnedId]);
      assert.equal(world.token.asked, 0);
    });

    test("late, the others have formed it: it begins as one that is expected", async () => {
      const world = new World();
      world.reach.cluster = { clusterId: learnedId, members: [live(1, { up: false }), live(2), live(3)] };
      assert.equal((await world.machine({ discovery: list(3) }).join()).member?.state, "new");
    });

    test("a lost disk: out and in again", async () => {
      const world = new World();
      world.reach.cluster = { clusterId: learnedId, members: [live(1), live(2), live(3)] };
      world.reach.only = new Set([peer(2), clientUrl(2)]);
      assert.equal((await world.machine({ discovery: list(3) }).join()).member?.state, "existing");
    });

    test("the cluster does not know it: it waits to be taken in", async () => {
      const world = new World();
      world.reach.cluster = { clusterId: learnedId, members: [live(2), live(3)] };
      const m1 = world.machine({ discovery: list(3) });
      const joining = m1.start();
      await world.clock.advance(10_000);
      assert.match(m1.progress.what, /^waiting to be taken in: .*etcdctl member add/);
      world.reach.cluster = { clusterId: learnedId, members: [live(1, { up: false, name: "" }), live(2), live(3)] };
      assert.equal((await joining.end()).member?.state, "existing");
    });

    test("without PeerURLs= its name finds it in the list", async () => {
      const world = new World();
      const record = await world.machine({ discovery: list(3), number: 2, peerUrls: [] }).join();
      assert.deepEqual(record.member?.peerUrls, [peer(2)]);
    });

    const refused: readonly (readonly [name: string, options: MachineOptions, expect: RegExp])[] = [
      ["not on the list", { number: 9 }, /^discovery-list: Cannot find m9 in .*Role=client/],
      [
        "its name has another URL",
        { number: 1, peerUrls: [peer(8)] },
        /^discovery-list: .*both must name the same URLs|^discovery-list: Cannot find m1=/,
      ],
      ["its URL has another name", { number: 9, peerUrls: [peer(1)] }, /^discovery-list: Cannot find m9=.*It has m1=/],
    ];
    for (const [name, options, expect] of refused)
      test(`refused: ${name}`, async () => {
        const world = new World();
        assert.match(await refusal(world.machine({ ...options, discovery: list(3) }).join()), expect);
      });

    test("a list that was corrected before etcd had any data is taken", async () => {
      const world = new World();
      const m1 = world.machine({ discovery: list(3) });
      await m1.join();
      assert.equal((await m1.join({ settings: { discovery: list(2) } })).size, 2);
    });

    test("existing: as the operator says", async () => {
      const world = new World();
      const m1 = world.machine({ discovery: list(3, "existing") });
      const record = await m1.join();
      assert.deepEqual([record.member?.state, record.clusterId], ["existing", undefined]);
      assert.match(m1.environment, /ETCD_INITIAL_CLUSTER_STATE=existing/);
    });
  });

  suite("DNS", () => {
    const discovery: EtcdDiscovery = {
      ...{ kind: "srv", domain: "example.org", serviceName: undefined, token: "etcd-cluster", state: "new" },
    };

    function named(machine: Machine, scheme: "-ssl" | "", count = 3): void {
      machine.names.records.set(
        `_etcd-server${scheme}._tcp.example.org`,
        peers(count).map(({ name }) => ({ host: `${name}.example.org`, port: 2380 })),
      );
      for (let number = 1; number <= count; number++)
        machine.names.hosts.set(`m${number}.example.org`, [`10.0.0.${number}`]);
    }

    test("finds itself by address; the others get numbers; the list has the records' names", async () => {
      const world = new World();
      const m2 = world.machine({ number: 2, discovery, peerUrls: ["https://10.0.0.2:2380"] });
      named(m2, "-ssl");
      const record = await m2.join();
      assert.deepEqual(
        record.members.map(({ name, peerUrls }) => `${name}=${peerUrls.join()}`),
        ["0=https://m1.example.org:2380", "m2=https://m2.example.org:2380", "1=https://m3.example.org:2380"],
      );
      assert.match(m2.environment, /ADVERTISE_PEER_URLS=https:\/\/m2\.example\.org:2380\n/);
    });

    test("plain http records alone are enough, and without PeerURLs= its own address finds it", async () => {
      const world = new World();
      const m1 = world.machine({ discovery, peerUrls: [] });
      named(m1, "");
      assert.deepEqual((await m1.join()).member?.peerUrls, ["http://m1.example.org:2380"]);
    });

    test("a name server that is away, and records that come later, are waited for", async () => {
      const world = new World();
      const m1 = world.machine({ discovery });
      m1.names.trouble = new Problem("names-unreachable", "Cannot look up x");
      const joining = m1.start();
      await world.clock.advance(3_000);
      assert.match(
        m1.progress.what,
        /^waiting for the records of example\.org: \d+ tries, last error: Cannot look up x/,
      );
      m1.names.trouble = undefined;
      await world.clock.advance(40_000);
      assert.match(m1.progress.what, /there are none/);
      named(m1, "", 1);
      m1.names.hosts.set("m1.example.org", ["10.9.9.9"]);
      await world.clock.advance(40_000);
      assert.match(
        m1.progress.what,
        /^waiting for a record of http:\/\/10\.0\.0\.1:2380 in the records of example\.org/,
      );
      m1.names.hosts.set("m1.example.org", ["10.0.0.1"]);
      await world.clock.advance(600_000);
      assert.match(
        m1.progress.what,
        /^waiting for records of other members in the records of example\.org: this machine's is the only one \(for a cluster of one, leave DiscoverySRV= out\)/,
      );
      assert.equal(m1.disk.files.has(recordFile), false);
      named(m1, "");
      assert.equal((await joining.end()).size, 3);
    });

    test("one record is enough for a cluster that stands, and for a client", async () => {
      const world = new World();
      const m1 = world.machine({ discovery: { ...discovery, state: "existing" } });
      named(m1, "", 1);
      assert.deepEqual((await m1.join()).member?.state, "existing");
      const client = world.machine({ number: 4, role: "client", peerUrls: [], discovery });
      named(client, "", 1);
      world.reach.cluster = { clusterId: "1", members: [{ ...live(1), peerUrls: ["http://m1.example.org:2380"] }] };
      assert.deepEqual((await client.join()).endpoints, [clientUrl(1)]);
    });
  });
});
