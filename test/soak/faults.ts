// The faults that are done to a site: one row each, with how it is brought about and mended, what it may stop, what must come
// of it, and how long it lasts. For the soak, for the matrix and for the tests.
import { readFileSync } from "node:fs";
import type { ClusterEvent, EventKind } from "../../agent/domain/submitted.ts";
import { type Mend } from "../system/booted/links.ts";
import type { Random } from "./random.ts";
import type { Site, SoakMachine } from "./site.ts";
import type { Member } from "./store.ts";
import type { Watch } from "./watch.ts";

/** Design, section 10, with what reading etcd and counting take here. */
export const bounds = {
  noticedMs: 10_000,
  elsewhereMs: 15_000,
  engineLeaseMs: 5_000,
  machineLeaseMs: 10_000,
  /** Losses are looked at together: a leader waits so long for further ones. */
  gatherMs: 1_000,
  /** Whoever only sends, and hears nothing, gives up a connection after this; what it sent until then was heard. */
  deafMs: 13_000,
  leaderMs: 6_000,
  /** systemd starts a unit again: RestartSec=1, and some time for the start. */
  restartedMs: 5_000,
  /** etcd's own word comes late by its clock of half a second, and is asked for three times a second. */
  slackMs: 1_000,
  /**
   * A new leader gives up a machine as soon as it is gone when it has seen it there before, which counts from when it has had
   * etcd itself without a break for a machine's lease and a second. One more for how late a connection may have come back.
   */
  calmMs: 12_000,
} as const;

/** A bound as rows say it: what is demanded, and what is allowed beyond it. */
function within(ms: number): string {
  return `${ms / 1_000} + ${bounds.slackMs / 1_000} s`;
}

/** What a fault breaks: two of one sort never at once. */
export type Sort = "machine" | "agent" | "store" | "link" | "host" | "unit" | "git";

export interface Scene {
  readonly site: Site;
  readonly watch: Watch;
  readonly random: Random;
  /** Machines that another fault has to itself. */
  readonly taken: ReadonlySet<SoakMachine>;
  /** For how long nothing has been broken and all was as it shall be; 0: something is. */
  readonly calmMs: number;
}

/** Measured, in ms since the fault began; left out: it is no matter of this fault. */
export interface Figures {
  /** The machine's presence was gone, another leader was there, the trouble was told. */
  readonly noticedMs?: number;
  /** The last unit ran elsewhere, or again. */
  readonly elsewhereMs?: number;
}

/** A fault that has begun. */
export interface Grip {
  /** What it was done to. */
  readonly on: string;
  readonly machines?: readonly SoakMachine[];
  /** Waits for what must come of it; rejects when it does not. Without it the fault just lasts. */
  readonly unfold?: () => Promise<Figures>;
  readonly mend: () => Promise<void>;
  /** After everything has come right again; rejects when something came of it that must not. */
  readonly end?: () => void | Promise<void>;
}

export interface Fault {
  readonly name: string;
  readonly sort: Sort;
  /** What must hold besides the invariants. */
  readonly asserts: string;
  /** How long it lasts, unless it is over when it has unfolded. */
  readonly lastsMs: readonly [least: number, most: number];
  /** What it asserts is sharper when nothing was broken for `bounds.calmMs`. */
  readonly needsCalm?: true;
  /** How often it is chosen, beside the others; 1 unless set. */
  readonly weight?: number;
  /** Undefined: it cannot be done now. */
  readonly begin: (scene: Scene) => Promise<Grip | undefined>;
}

/** How long one looks whether something that is down comes up by itself. */
const staysMs = 4_000;
const nothingHappens = "nothing stops, nothing moves";
const inTime = `noticed in ${within(bounds.noticedMs)}, its units elsewhere in ${within(bounds.elsewhereMs)}`;
const latestMs = bounds.elsewhereMs + bounds.engineLeaseMs;
const inTimeFromCalm = `${inTime}, or in ${within(latestMs)} if something was broken just before`;
const anotherInTime = `another leader in ${within(bounds.leaderMs)}`;
const nobodyIsLost =
  "no false alarm: no event tells of a lost machine, none is given up; nothing moves, nothing but OnPartition=stop stops";
const storeKilledMs = [2_000, 30_000] as const;
const storeFrozenMs = [2_000, 40_000] as const;
const toldMs = bounds.noticedMs + bounds.gatherMs;

function free({ site, taken }: Scene, besides?: SoakMachine): readonly SoakMachine[] {
  return site.machines.filter((machine) => machine.isUp && !taken.has(machine) && machine !== besides);
}

function follower(scene: Scene): SoakMachine | undefined {
  return scene.random.pick(free(scene, scene.watch.leader));
}

function leaderOf(scene: Scene): SoakMachine | undefined {
  const { leader } = scene.watch;
  return leader !== undefined && free(scene).includes(leader) ? leader : undefined;
}

function anyMachine(scene: Scene): SoakMachine | undefined {
  return scene.random.pick(free(scene));
}

/** Names of units that another machine has to take in time when this one is lost. What is fenced takes its stop longer. */
function movable({ site, watch }: Scene, machine: SoakMachine): readonly string[] {
  const others = site.wishes.all().filter(({ isGlobal, isFenced }) => isGlobal || isFenced);
  const names = new Set(others.map(({ name }) => name));
  return [...watch.runsOn(machine).keys()].filter((name) => !names.has(name));
}

/** A machine that is lost to the others. */
interface Loss {
  readonly machine: SoakMachine;
  readonly names: readonly string[];
  readonly fromMs: number;
  /** What it may take longer than a machine that is simply dead: to be noticed, and so all of it. */
  readonly beyondMs?: number;
  /** What its units may take longer because of who leads. */
  readonly newLeaderMs?: number;
}

function lossOf(scene: Scene, machine: SoakMachine): Loss {
  return { machine, names: movable(scene, machine), fromMs: scene.watch.nowMs };
}

/** It is noticed, and its units run elsewhere, both in time. */
async function lost({ site, watch }: Scene, loss: Loss): Promise<Figures> {
  const { machine, names, fromMs, beyondMs = 0 } = loss;
  // A new leader of etcd gives every lease its whole time again
  const left = (ms: number): number =>
    Math.max(fromMs, watch.termFromMs) + ms + beyondMs + bounds.slackMs - watch.nowMs;
  const isAbsent = (): boolean => watch.sight?.machines.has(machine.id) === false;
  await watch.until(`${machine.name} counts as dead`, isAbsent, () => left(bounds.noticedMs));
  const noticedMs = watch.nowMs - fromMs;
  // One that was lost twice takes nothing new for a while
  const isTaken = (name: string): boolean =>
    site.machines.some((other) => {
      if (other === machine || !other.isUp || watch.sight?.resting.has(other.id) === true) return false;
      const [template] = name.split("@");
      const isCrowded = [...watch.runsOn(other).keys()].some((each) => each.split("@")[0] === template);
      return site.wishes.get(name)?.isApart !== true || !isCrowded;
    });
  const areElsewhere = (): boolean =>
    names.every((name) => {
      if (watch.runsOf(name).some((run) => run.machine !== machine.name)) return true;
      // A commit may just have taken it away
      return site.wishes.get(name) === undefined || !isTaken(name);
    });
  await watch.until(`${names.join(", ")} of ${machine.name} run elsewhere`, areElsewhere, () =>
    left(bounds.elsewhereMs + (loss.newLeaderMs ?? 0)),
  );
  return { noticedMs, elsewhereMs: watch.nowMs - fromMs };
}

/**
 * What the loss of a machine may take longer because another has to lead first. The leader's lease ends a good second before a
 * machine's can, so the next one has seen the machine there, and nothing is added; unless it has only just got etcd back itself:
 * then it gives everybody a full lease from the moment in which it took office.
 */
function newLeaderMs({ calmMs }: Scene): number {
  return calmMs >= bounds.calmMs ? 0 : bounds.engineLeaseMs;
}

async function anotherLeader({ watch }: Scene, epoch: number): Promise<Figures> {
  const fromMs = watch.nowMs;
  const isThere = (): boolean => (watch.sight?.leader?.epoch ?? 0) > epoch;
  await watch.until("another leader", isThere, bounds.leaderMs + bounds.slackMs);
  return { noticedMs: watch.nowMs - fromMs };
}

function machineKilled(hasLeader: boolean): Fault["begin"] {
  return async (scene) => {
    const machine = hasLeader ? leaderOf(scene) : follower(scene);
    if (machine === undefined) return undefined;
    const loss = { ...lossOf(scene, machine), newLeaderMs: hasLeader ? newLeaderMs(scene) : 0 };
    await machine.powerCut();
    return {
      on: machine.name,
      machines: [machine],
      unfold: () => lost(scene, loss),
      mend: () => machine.boot(),
    };
  };
}

async function machineRebooted(scene: Scene): Promise<Grip | undefined> {
  const machine = anyMachine(scene);
  if (machine === undefined) return undefined;
  const { pid } = machine.booted;
  machine.noteDown();
  const asked = await machine.booted.run(["systemctl", "--no-block", "reboot"]);
  if (asked.status !== 0) throw new Error(`${machine.name} does not reboot: ${asked.stderr}`);
  return {
    on: machine.name,
    machines: [machine],
    mend: async () => {
      const { booted } = machine;
      await booted.waitFor("another boot", async () => booted.running && booted.pid !== pid, { timeoutMs: 90_000 });
      await machine.isBack();
    },
  };
}

function agentKilled(pick: (scene: Scene) => SoakMachine | undefined, isLeader: boolean): Fault["begin"] {
  return async (scene) => {
    const machine = pick(scene);
    if (machine === undefined) return undefined;
    const epoch = scene.watch.sight?.leader?.epoch ?? 0;
    machine.signal("flotilla.service", "SIGKILL");
    machine.isAgentAway = true;
    const mend = (): Promise<void> => machine.agentAnswers();
    return {
      on: machine.name,
      machines: [machine],
      mend,
      ...(isLeader ? { unfold: () => anotherLeader(scene, epoch) } : {}),
    };
  };
}

/** The agent alone is stopped in its tracks; its units are systemd's and go on. */
function leaderFrozen(isLong: boolean): Fault["begin"] {
  return async (scene) => {
    const machine = leaderOf(scene);
    if (machine === undefined) return undefined;
    const epoch = scene.watch.sight?.leader?.epoch ?? 0;
    const loss = { ...lossOf(scene, machine), newLeaderMs: newLeaderMs(scene) };
    machine.signal("flotilla.service", "SIGSTOP");
    machine.isAgentAway = true;
    return {
      on: machine.name,
      machines: [machine],
      unfold: () => (isLong ? lost(scene, loss) : anotherLeader(scene, epoch)),
      mend: async () => {
        machine.signal("flotilla.service", "SIGCONT");
        await machine.agentAnswers();
      },
    };
  };
}

function membersKilled(pick: (scene: Scene) => Promise<readonly Member[]>): Fault["begin"] {
  return async (scene) => {
    const members = await pick(scene);
    if (members.length === 0) return undefined;
    const { store } = scene.site;
    await Promise.all(members.map((member) => store.kill(member)));
    return { on: members.map(({ name }) => name).join(" "), mend: () => store.startAll() };
  };
}

function membersFrozen(pick: (scene: Scene) => Promise<readonly Member[]>): Fault["begin"] {
  return async (scene) => {
    const members = await pick(scene);
    if (members.length === 0) return undefined;
    const { store } = scene.site;
    for (const member of members) store.freeze(member);
    return {
      on: members.map(({ name }) => name).join(" "),
      mend: async () => members.forEach((member) => store.thaw(member)),
    };
  };
}

/**
 * All of etcd at once. A stall of the whole store is nobody's death, for whoever looks at the cluster: nothing moves, nobody is
 * given up, and no event tells that a machine was lost. Followed to that when nothing else is broken meanwhile.
 */
function wholeStore(begin: Fault["begin"], { lastsMs }: { readonly lastsMs: number }): Fault["begin"] {
  return async (scene) => {
    const { site, watch } = scene;
    const before = await lossesTold(scene);
    const grip = before === undefined ? undefined : await begin(scene);
    if (before === undefined || grip === undefined) return undefined;
    let release: (() => void) | undefined;
    return {
      ...grip,
      unfold: async () => {
        release = watch.keep(site.machines);
        await new Promise((resolve) => setTimeout(resolve, lastsMs));
        return {};
      },
      end: async () => {
        if (release === undefined) return;
        // When it is back the leader gives everybody a lease to be heard of: only then it would give somebody up
        const judgedMs = bounds.machineLeaseMs + bounds.gatherMs + bounds.slackMs;
        await new Promise((resolve) => setTimeout(resolve, judgedMs));
        release();
        const after = await lossesTold(scene);
        if (after === undefined) throw new Error("etcd does not answer when it is back");
        const news = [...after].filter(([key]) => !before.has(key)).map(([, said]) => said);
        if (news.length > 0) throw new Error(`The store stood still, and ${news.join("; ")}`);
      },
    };
  };
}

/** In words, by their keys: events that tell of machines that are lost, and machines that are given up. Undefined: etcd does not answer. */
async function lossesTold({ site }: Scene): Promise<ReadonlyMap<string, string> | undefined> {
  const [events, manifests] = await Promise.all([site.store.values("events"), site.store.values("manifests")]);
  if (events === undefined || manifests === undefined) return undefined;
  const told = new Map<string, string>();
  for (const [key, value] of events) {
    const { kind, message } = value as ClusterEvent;
    if (lossKinds.has(kind)) told.set(key, `an event says: ${message}`);
  }
  for (const [id, value] of manifests) {
    const name = site.machines.find((machine) => machine.id === id)?.name ?? id;
    if ((value as { readonly givenUp?: true }).givenUp === true) told.set(id, `${name} is given up`);
  }
  return told;
}

const lossKinds: ReadonlySet<EventKind> = new Set(["machine-lost", "machines-lost"]);

const everyMember = async ({ site }: Scene): Promise<readonly Member[]> => site.store.members;

async function storeLeader({ site }: Scene): Promise<readonly Member[]> {
  const leader = await site.store.leader();
  return leader === undefined ? [] : [leader];
}

async function storeFollower({ site, random }: Scene): Promise<readonly Member[]> {
  const leader = await site.store.leader();
  const member = random.pick(site.store.members.filter((each) => each !== leader));
  return leader === undefined || member === undefined ? [] : [member];
}

async function cablePulled(scene: Scene): Promise<Grip | undefined> {
  const machine = follower(scene);
  if (machine === undefined) return undefined;
  const loss = lossOf(scene, machine);
  machine.isUnplugged = true;
  await machine.booted.unplug();
  return {
    on: machine.name,
    machines: [machine],
    unfold: () => lost(scene, loss),
    mend: async () => {
      await machine.booted.replug();
      machine.isUnplugged = false;
    },
  };
}

async function together(mends: readonly Promise<Mend>[]): Promise<Mend> {
  const all = await Promise.all(mends);
  return async () => {
    await Promise.all(all.map((mend) => mend()));
  };
}

/** Machines and all members do not hear each other, or only in one direction. */
async function cutOff(
  { site }: Scene,
  {
    machines,
    there,
    back,
  }: { readonly machines: readonly SoakMachine[]; readonly there: boolean; readonly back: boolean },
): Promise<Mend> {
  const losses = machines.flatMap((machine) =>
    site.store.members.flatMap((member) => [
      ...(there ? [{ from: machine, to: member }] : []),
      ...(back ? [{ from: member, to: machine }] : []),
    ]),
  );
  return together(losses.map((each) => site.lose(each)));
}

/** One direction between a machine and all members, or both. */
function storeCutOff(ways: { readonly there: boolean; readonly back: boolean }, isLong: boolean): Fault["begin"] {
  return async (scene) => {
    const machine = isLong ? follower(scene) : anyMachine(scene);
    if (machine === undefined) return undefined;
    const loss = lossOf(scene, machine);
    const mend = await cutOff(scene, { machines: [machine], ...ways });
    return {
      on: machine.name,
      machines: [machine],
      mend,
      ...(isLong ? { unfold: () => lost(scene, { ...loss, beyondMs: ways.there ? 0 : bounds.deafMs }) } : {}),
    };
  };
}

/**
 * More than half of all machines and all members do not hear each other: a switch rather than so many machines. Nothing of
 * theirs is moved (LossBrake=), nothing but OnPartition=stop stops, and all of it is where it was when they are back.
 */
function mostCutOff(hasLeader: boolean): Fault["begin"] {
  return async (scene) => {
    const { site, watch } = scene;
    const machines = mostMachines(scene, hasLeader);
    if (machines === undefined) return undefined;
    const names = machines.map(({ name }) => name);
    const fenced = site.wishes.all().flatMap(({ name, isFenced }) => (isFenced ? [name] : []));
    const stopping = fenced.filter((unit) => watch.runsOf(unit).some((run) => names.includes(run.machine)));
    const fromMs = watch.nowMs;
    const release = watch.keep(machines);
    const mend = await cutOff(scene, { machines, there: true, back: true });
    return {
      on: `${names.join(" ")}${stopping.length > 0 ? `, with ${stopping.join(" ")}` : ""}`,
      machines,
      unfold: () => brake(scene, { machines, stopping, fromMs, beyondMs: hasLeader ? newLeaderMs(scene) : 0 }),
      mend,
      end: release,
    };
  };
}

/** The fewest that are more than half, with the machine that leads or without it; undefined: so many are not free. */
function mostMachines(scene: Scene, hasLeader: boolean): readonly SoakMachine[] | undefined {
  const { site, watch, random } = scene;
  const chosen = hasLeader ? [leaderOf(scene)] : [];
  const others = [...free(scene, watch.leader)];
  while (chosen.length <= site.machines.length / 2) {
    const other = random.pick(others);
    chosen.push(other);
    others.splice(0, others.length, ...others.filter((each) => each !== other));
  }
  const found = chosen.filter((machine) => machine !== undefined);
  return watch.leader !== undefined && found.length === chosen.length ? found : undefined;
}

/** All are noticed and status tells that nothing is moved; then it lasts for longer than a lease. The watch sees what comes of it. */
async function brake(
  { watch }: Scene,
  given: {
    readonly machines: readonly SoakMachine[];
    readonly stopping: readonly string[];
    readonly fromMs: number;
    readonly beyondMs: number;
  },
): Promise<Figures> {
  const { machines, stopping, fromMs, beyondMs } = given;
  const left = (ms: number): number => Math.max(fromMs, watch.termFromMs) + ms + bounds.slackMs - watch.nowMs;
  const isDown = (): boolean =>
    !stopping.some((unit) => watch.runsOf(unit).some((run) => machines.some(({ name }) => name === run.machine)));
  await watch.until(`${stopping.join(", ")} is stopped by its own machine`, isDown, () => left(bounds.machineLeaseMs));
  const isBraked = async (): Promise<boolean> =>
    (await watch.leader?.status())?.problems.some(({ code }) => code === "loss-brake") === true;
  await watch.until("status tells that too many machines are lost", isBraked, () => left(toldMs + beyondMs));
  const noticedMs = watch.nowMs - fromMs;
  await new Promise((resolve) => setTimeout(resolve, bounds.machineLeaseMs + bounds.slackMs));
  if (!(await isBraked())) throw new Error("Status does not tell any more that too many machines are lost");
  return { noticedMs };
}

/** A machine does not reach the member of etcd that leads; the others it does. */
async function memberCutOff(scene: Scene): Promise<Grip | undefined> {
  const machine = anyMachine(scene);
  const [member] = await storeLeader(scene);
  if (machine === undefined || member === undefined) return undefined;
  const { site } = scene;
  const mend = await together([site.lose({ from: machine, to: member }), site.lose({ from: member, to: machine })]);
  return { on: `${machine.name} - ${member.name}`, machines: [machine], mend };
}

async function lossy(scene: Scene): Promise<Grip | undefined> {
  const machine = anyMachine(scene);
  if (machine === undefined) return undefined;
  const { site } = scene;
  const percent = 20;
  const mend = await together([
    site.lose({ from: machine, percent }),
    ...site.store.members.map((member) => site.lose({ from: member, to: machine, percent })),
  ]);
  return { on: machine.name, machines: [machine], mend };
}

async function crowded(scene: Scene): Promise<Grip | undefined> {
  const machine = anyMachine(scene);
  if (machine === undefined) return undefined;
  return { on: machine.name, machines: [machine], mend: await scene.site.links.crowd(machine) };
}

/** etcd's leader and the other members do not hear each other; machines hear all of them. */
async function leaderAlone(scene: Scene): Promise<Grip | undefined> {
  const [leader] = await storeLeader(scene);
  if (leader === undefined) return undefined;
  const { site } = scene;
  const others = site.store.members.filter((member) => member !== leader);
  const mend = await together(
    others.flatMap((other) => [site.lose({ from: leader, to: other }), site.lose({ from: other, to: leader })]),
  );
  return { on: leader.name, mend };
}

/** One member hears nothing of etcd's leader, which hears it. */
async function leaderUnheard(scene: Scene): Promise<Grip | undefined> {
  const [leader] = await storeLeader(scene);
  const [other] = await storeFollower(scene);
  if (leader === undefined || other === undefined || leader === other) return undefined;
  return { on: `${leader.name} > ${other.name}`, mend: await scene.site.lose({ from: leader, to: other }) };
}

/** Nothing more can be written to the machine's disk, and a commit comes. */
async function diskFull(scene: Scene): Promise<Grip | undefined> {
  const machine = anyMachine(scene);
  const unit = scene.random.pick(machine === undefined ? [] : [...scene.watch.runsOn(machine).keys()]);
  const { site, watch } = scene;
  const file = unit?.replace(/@.+\./, "@.");
  if (machine === undefined || file === undefined) return undefined;
  await machine.booted.fillDisk();
  const tried = await machine.booted.run(["sh", "-c", "head -c 65536 /dev/zero >/var/lib/flotilla/full"]);
  if (tried.status === 0) throw new Error(`The disk of ${machine.name} is not full`);
  const pardon = watch.excuse({ units: new Set(site.wishes.unitsOf(file)), because: "its text changes" });
  await site.wishes.change(file);
  const fromMs = watch.nowMs;
  const isTold = async (): Promise<boolean> => {
    const problems = (await machine.status())?.problems ?? [];
    return problems.some((problem) => /ENOSPC|no space/i.test(JSON.stringify(problem)));
  };
  return {
    on: machine.name,
    machines: [machine],
    unfold: async () => {
      await watch.until(`status on ${machine.name} tells that the disk is full`, isTold, 30_000);
      return { noticedMs: watch.nowMs - fromMs };
    },
    mend: async () => {
      await machine.booted.freeDisk();
      await machine.booted.output(["rm", "-f", "/var/lib/flotilla/full"]);
    },
    end: pardon,
  };
}

async function busKilled(scene: Scene): Promise<Grip | undefined> {
  const machine = scene.random.pick(free(scene).filter((each) => each.processOf("dbus.service") !== undefined));
  if (machine === undefined) return undefined;
  machine.signal("dbus.service", "SIGKILL");
  return {
    on: machine.name,
    machines: [machine],
    mend: async () => {
      await machine.booted.run(["systemctl", "start", "dbus.service"]);
      await machine.booted.waitForUnit("dbus.service");
    },
  };
}

async function reexecuted(scene: Scene): Promise<Grip | undefined> {
  const machine = anyMachine(scene);
  if (machine === undefined) return undefined;
  const asked = await machine.booted.run(["systemctl", "daemon-reexec"]);
  if (asked.status !== 0) throw new Error(`${machine.name}: ${asked.stderr}`);
  return { on: machine.name, machines: [machine], mend: async () => undefined };
}

interface Chosen {
  readonly machine: SoakMachine;
  readonly unit: string;
  readonly pid: number;
  readonly on: string;
  readonly machines: readonly SoakMachine[];
}

/** A unit that runs on a machine that nothing else is done to. */
function chooseUnit(scene: Scene, isMeant: (unit: string) => boolean): Chosen | undefined {
  const all = free(scene).flatMap((machine) =>
    [...scene.watch.runsOn(machine).values()]
      .filter((run) => isMeant(run.unit))
      .map(({ unit, pid }) => ({ machine, unit, pid, on: `${unit} on ${machine.name}`, machines: [machine] })),
  );
  return scene.random.pick(all);
}

const isFragile = (unit: string): boolean => unit === "fragile.service";
const everywhere = "every.service";
/** One that nothing follows, and that follows nothing. */
const isPlain = (unit: string): boolean => /^(job@\d+|every)\.service$/.test(unit);

/** systemd starts it again, on the same machine, as its Restart= says. */
async function unitKilled(scene: Scene): Promise<Grip | undefined> {
  const chosen = chooseUnit(scene, (unit) => !isFragile(unit));
  if (chosen === undefined) return undefined;
  const { machine, unit, pid, on, machines } = chosen;
  const { watch } = scene;
  const pardon = watch.excuse({ unit, machine: machine.name, because: "it was killed" });
  process.kill(pid, "SIGKILL");
  const isAgain = (): boolean => ![undefined, pid].includes(watch.runsOn(machine).get(unit)?.pid);
  return {
    on,
    machines,
    unfold: async () => ({
      elsewhereMs: await watch.until(`${unit} runs again on ${machine.name}`, isAgain, bounds.restartedMs),
    }),
    mend: async () => undefined,
    end: pardon,
  };
}

/** It is told as failed, and stays so until somebody says restart. */
async function fragileKilled(scene: Scene): Promise<Grip | undefined> {
  const chosen = chooseUnit(scene, isFragile);
  if (chosen === undefined) return undefined;
  const { machine, unit, pid, on, machines } = chosen;
  const { watch } = scene;
  const pardon = watch.excuse({ unit, because: "it was killed" });
  process.kill(pid, "SIGKILL");
  return {
    on,
    machines,
    unfold: async () => {
      const noticedMs = await watch.until(`${unit} is told as failed`, () => isTold(scene, unit, "failed"), 5_000);
      await staysDown(scene, { unit });
      return { noticedMs };
    },
    mend: () => restart(scene, { machine, unit }),
    end: pardon,
  };
}

/** What an operator stops stays stopped, and status tells so. */
async function stoppedByHand(scene: Scene): Promise<Grip | undefined> {
  const chosen = chooseUnit(scene, isPlain);
  if (chosen === undefined) return undefined;
  const { machine, unit, on, machines } = chosen;
  const pardon = scene.watch.excuse({ unit, machine: machine.name, because: "an operator stopped it" });
  await machine.booted.output(["systemctl", "stop", unit]);
  return {
    on,
    machines,
    unfold: async () => {
      const { watch } = scene;
      const told = (): Promise<boolean> => isTold(scene, unit, "inactive", machine);
      const noticedMs = await watch.until(`${unit} is told as inactive`, told, 5_000);
      await staysDown(scene, { unit, machine });
      return { noticedMs };
    },
    mend: () => restart(scene, { machine, unit }),
    end: pardon,
  };
}

/** A masked unit runs on, and takes up no new text until it is unmasked: its problem is told until then. */
async function masked(scene: Scene): Promise<Grip | undefined> {
  const chosen = chooseUnit(scene, isPlain);
  if (chosen === undefined) return undefined;
  const { machine, unit, on, machines } = chosen;
  const { site, watch } = scene;
  await machine.booted.output(["ln", "-s", "/dev/null", `/etc/systemd/system/${unit}`]);
  await machine.booted.output(["systemctl", "daemon-reload"]);
  const file = unit.replace(/@.+\./, "@.");
  const pardon = watch.excuse({ units: new Set(site.wishes.unitsOf(file)), because: "its text changes" });
  await site.wishes.change(file);
  return {
    on,
    machines,
    unfold: async () => {
      const hasProblem = async (): Promise<boolean> =>
        (await troubled(scene, unit)).some((each) => /mask/i.test(JSON.stringify(each.problem ?? "")));
      return { noticedMs: await watch.until(`${unit} is told as masked`, hasProblem, 20_000) };
    },
    mend: async () => {
      await machine.booted.output(["rm", "-f", `/etc/systemd/system/${unit}`]);
      await machine.booted.output(["systemctl", "daemon-reload"]);
    },
    end: pardon,
  };
}

/**
 * It runs on as it is; the text of the repository is put back as soon as the machine has something to do. Where it was killed,
 * and so was started with the edited text, it is started anew then.
 */
function edited(isKilled: boolean): Fault["begin"] {
  return async (scene) => {
    const chosen = chooseUnit(scene, (unit) => isPlain(unit) && unit !== everywhere);
    if (chosen === undefined) return undefined;
    const { machine, unit, pid, on, machines } = chosen;
    const { site, watch } = scene;
    const path = `/run/systemd/system/${unit}`;
    const edit = 'printf "[Service]\\nEnvironment=EDITED=yes\\n" >>"$1" && systemctl daemon-reload';
    const pardon = watch.excuse({ unit: everywhere, because: "its text changes" });
    const forget = watch.edited(unit, machine.name);
    await machine.booted.output(["sh", "-c", edit, "sh", path]);
    const isPutBack = async (): Promise<boolean> => !(await machine.booted.read(path)).includes("EDITED");
    const runsEdited = (): boolean | undefined => {
      const run = watch.runsOn(machine).get(unit);
      return run === undefined ? undefined : hasInEnvironment(run.pid, "EDITED=yes");
    };
    if (isKilled) {
      const excused = watch.excuse({ unit, machine: machine.name, because: "it was killed" });
      process.kill(pid, "SIGKILL");
      const isAgain = (): boolean => watch.runsOn(machine).get(unit)?.pid !== pid && runsEdited() === true;
      await watch.until(`${unit} runs as it was edited on ${machine.name}`, isAgain, bounds.restartedMs);
      excused();
    }
    return {
      on,
      machines,
      mend: async () => {
        await site.wishes.change(everywhere);
        await watch.until(`${unit} has the text of the repository on ${machine.name}`, isPutBack, 30_000);
        await watch.until(`${unit} runs with it`, () => runsEdited() === false, 5_000);
      },
      end: () => {
        forget();
        pardon();
      },
    };
  };
}

function hasInEnvironment(pid: number, word: string): boolean | undefined {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(word);
  } catch {
    return undefined; // it ended meanwhile
  }
}

async function gitAway(scene: Scene): Promise<Grip | undefined> {
  const { git } = scene.site;
  const status = scene.random.happens(0.5);
  git.fault = status ? { kind: "status", status: 503 } : { kind: "hang" };
  return { on: status ? "503" : "silent", mend: async () => void (git.fault = undefined) };
}

/** By any agent that answers: whether a unit is shown in this state. */
async function isTold({ site }: Scene, unit: string, active: string, on?: SoakMachine): Promise<boolean> {
  for (const machine of site.machines) {
    const units = await machine.units();
    if (units === undefined) continue;
    return units.some(
      (each) => each.name === unit && each.active === active && (on === undefined || each.machine.id === on.id),
    );
  }
  return false;
}

async function troubled({ site }: Scene, unit: string) {
  for (const machine of site.machines) {
    const units = await machine.units();
    if (units !== undefined) return units.filter(({ name }) => name === unit);
  }
  return [];
}

/** Looks for some seconds whether a unit comes up by itself, there or, without `machine`, anywhere. */
async function staysDown({ watch }: Scene, { unit, machine }: { unit: string; machine?: SoakMachine }): Promise<void> {
  const isUp = (): boolean => watch.runsOf(unit).some((run) => machine === undefined || run.machine === machine.name);
  await watch.until(`${unit} is seen down`, () => !isUp(), 2_000);
  const untilMs = watch.nowMs + staysMs;
  while (watch.nowMs < untilMs) {
    if (isUp()) throw new Error(`${unit} came up by itself`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** As an operator would; a unit that has moved meanwhile runs already. */
async function restart(
  { site, watch }: Scene,
  { machine, unit }: { machine: SoakMachine; unit: string },
): Promise<void> {
  const hasMoved = site.wishes.get(unit)?.isGlobal !== true && watch.runsOf(unit).length > 0;
  if (!machine.isUp || hasMoved) return;
  const ran = await machine.booted.run(["systemctl", "start", unit]);
  if (ran.status !== 0) watch.note(`${unit} could not be started by hand: ${ran.stderr.trim()}`);
}

export const faults: readonly Fault[] = [
  {
    name: "machine killed",
    sort: "machine",
    asserts: inTime,
    lastsMs: [2_000, 25_000],
    begin: machineKilled(false),
  },
  {
    name: "leader's machine killed",
    sort: "machine",
    asserts: inTimeFromCalm,
    lastsMs: [2_000, 25_000],
    needsCalm: true,
    begin: machineKilled(true),
  },
  {
    name: "machine rebooted",
    sort: "machine",
    asserts: "comes back to its share",
    lastsMs: [1_000, 1_000],
    begin: machineRebooted,
  },
  {
    name: "agent killed",
    sort: "agent",
    asserts: nothingHappens,
    lastsMs: [500, 4_000],
    begin: agentKilled(follower, false),
  },
  {
    name: "leader's agent killed",
    sort: "agent",
    asserts: `${anotherInTime}; ${nothingHappens}`,
    lastsMs: [500, 6_000],
    begin: agentKilled(leaderOf, true),
  },
  {
    name: "leader's agent frozen, briefly",
    sort: "agent",
    asserts: `${anotherInTime}; ${nothingHappens}`,
    lastsMs: [1_000, 5_000],
    begin: leaderFrozen(false),
  },
  {
    name: "leader's agent frozen",
    sort: "agent",
    asserts: "as the leader's machine killed, but its units run on until it is back",
    lastsMs: [8_000, 25_000],
    needsCalm: true,
    begin: leaderFrozen(true),
  },
  {
    name: "etcd member killed",
    sort: "store",
    asserts: nothingHappens,
    lastsMs: [1_000, 12_000],
    begin: membersKilled(storeFollower),
  },
  {
    name: "etcd leader killed",
    sort: "store",
    asserts: `no false alarm; ${nothingHappens}`,
    lastsMs: [1_000, 12_000],
    begin: membersKilled(storeLeader),
  },
  {
    name: "all of etcd killed",
    sort: "store",
    asserts: nobodyIsLost,
    lastsMs: storeKilledMs,
    begin: wholeStore(membersKilled(everyMember), { lastsMs: storeKilledMs[1] }),
  },
  {
    name: "etcd member frozen",
    sort: "store",
    asserts: nothingHappens,
    lastsMs: [1_000, 20_000],
    begin: membersFrozen(storeFollower),
  },
  {
    name: "etcd leader frozen",
    sort: "store",
    asserts: `no false alarm; ${nothingHappens}`,
    lastsMs: [1_000, 20_000],
    begin: membersFrozen(storeLeader),
  },
  {
    name: "all of etcd frozen",
    sort: "store",
    asserts: nobodyIsLost,
    lastsMs: storeFrozenMs,
    weight: 0.7,
    begin: wholeStore(membersFrozen(everyMember), { lastsMs: storeFrozenMs[1] }),
  },
  {
    name: "machine unplugged",
    sort: "link",
    asserts: `${inTime}; one of each soon after it is back`,
    lastsMs: [1_000, 25_000],
    begin: cablePulled,
  },
  {
    name: "etcd does not hear a machine",
    sort: "link",
    asserts: "as unplugged",
    lastsMs: [1_000, 25_000],
    begin: storeCutOff({ there: true, back: false }, true),
  },
  {
    name: "a machine does not hear etcd",
    sort: "link",
    asserts: `as unplugged, ${bounds.deafMs / 1_000} s later at most: once it has given up the connection on which it is heard`,
    lastsMs: [1_000, 25_000],
    begin: storeCutOff({ there: false, back: true }, true),
  },
  {
    name: "most machines cut off",
    sort: "link",
    asserts: `told in ${within(toldMs)}; nothing of theirs moves, nothing but OnPartition=stop stops, all is where it was`,
    lastsMs: [2_000, 30_000],
    begin: mostCutOff(false),
  },
  {
    name: "most machines cut off, and the leader",
    sort: "link",
    asserts: `the same, by another leader; in ${within(toldMs + bounds.engineLeaseMs)} if something was broken just before`,
    lastsMs: [2_000, 30_000],
    needsCalm: true,
    begin: mostCutOff(true),
  },
  {
    name: "all packets lost for 5 s",
    sort: "link",
    asserts: `no false alarm; ${nothingHappens}`,
    lastsMs: [4_900, 4_900],
    weight: 2,
    begin: storeCutOff({ there: true, back: true }, false),
  },
  {
    name: "one packet in five lost",
    sort: "link",
    asserts: `no false alarm; ${nothingHappens}`,
    lastsMs: [5_000, 30_000],
    begin: lossy,
  },
  {
    name: "half a second late each way",
    sort: "link",
    asserts: `no false alarm; ${nothingHappens}`,
    lastsMs: [5_000, 30_000],
    begin: crowded,
  },
  {
    name: "a machine and etcd's leader cut off",
    sort: "link",
    asserts: `no false alarm; ${nothingHappens}`,
    lastsMs: [5_000, 25_000],
    begin: memberCutOff,
  },
  {
    name: "etcd's leader alone",
    sort: "store",
    asserts: `no false alarm; ${nothingHappens}`,
    lastsMs: [5_000, 25_000],
    begin: leaderAlone,
  },
  {
    name: "etcd's leader unheard by one member",
    sort: "store",
    asserts: `no false alarm; ${nothingHappens}`,
    lastsMs: [5_000, 25_000],
    begin: leaderUnheard,
  },
  {
    name: "disk full, and a commit",
    sort: "host",
    asserts: "status tells it; taken up when there is room",
    lastsMs: [4_000, 12_000],
    begin: diskFull,
  },
  {
    name: "D-Bus daemon killed",
    sort: "host",
    asserts: nothingHappens,
    lastsMs: [1_000, 6_000],
    begin: busKilled,
  },
  {
    name: "systemctl daemon-reexec",
    sort: "host",
    asserts: nothingHappens,
    lastsMs: [500, 3_000],
    begin: reexecuted,
  },
  {
    name: "unit killed",
    sort: "unit",
    asserts: "systemd starts it again in its place",
    lastsMs: [2_000, 3_000],
    weight: 2,
    begin: unitKilled,
  },
  {
    name: "unit without Restart= killed",
    sort: "unit",
    asserts: "told as failed; stays so",
    lastsMs: [2_000, 4_000],
    begin: fragileKilled,
  },
  {
    name: "unit stopped by hand",
    sort: "unit",
    asserts: "told as inactive; stays so",
    lastsMs: [2_000, 8_000],
    begin: stoppedByHand,
  },
  {
    name: "unit masked, and a commit",
    sort: "unit",
    asserts: "told; taken up when it is unmasked",
    lastsMs: [5_000, 10_000],
    begin: masked,
  },
  {
    name: "unit edited on its machine",
    sort: "unit",
    asserts: "runs on; the text of the repository is put back at the next commit for the machine",
    lastsMs: [2_000, 5_000],
    begin: edited(false),
  },
  {
    name: "unit edited on its machine, then killed",
    sort: "unit",
    asserts: "runs with that; started anew with the text of the repository at the next commit for the machine, once",
    lastsMs: [2_000, 5_000],
    begin: edited(true),
  },
  {
    name: "git away",
    sort: "git",
    asserts: nothingHappens,
    lastsMs: [4_000, 20_000],
    begin: gitAway,
  },
];
