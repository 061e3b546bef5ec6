// A cluster for tests of the API and the commands: a picture that is set by hand, changes that are told by hand.
import type { ClusterPicture } from "../../agent/domain/cluster.ts";
import type { Machine } from "../../agent/domain/machine.ts";
import type { CommitId, MachineId, UnitHash, UnitName } from "../../agent/domain/names.ts";
import type { ClusterState, Decision, Manifest, ManifestTarget } from "../../agent/domain/placement.ts";
import type { ProblemRecord } from "../../agent/domain/problem.ts";
import type { MachineStatus, UnitStatus } from "../../agent/domain/status.ts";
import type { Hold } from "../../agent/domain/submitted.ts";
import type { PlacementOptions, Unit } from "../../agent/domain/unit.ts";
import type { SyncResult } from "../../agent/domain/sync.ts";
import type { ClusterView } from "../../agent/ports/cluster.ts";

/** Every sample's "now". */
export const sampleNowMs = Date.UTC(2026, 10, 20, 14, 53, 4);

export const sampleIds = {
  n1: "f22c7d6e8c9b30104bee8b3c3e33fcb3" as MachineId,
  n2: "b40f1753e3f2c15b673779b2df24e25a" as MachineId,
  n3: "59f61aeb05cd50749ecdd75c73c9c74c" as MachineId,
  gone: "0d15ea5e000000000000000000000000" as MachineId,
};
export const sampleCommit = "4f2a9c16d1b0f6a3c7d5e8f90123456789abcdef" as CommitId;
const olderCommit = "11aa9c16d1b0f6a3c7d5e8f90123456789abcdef" as CommitId;
const refusedCommit = "77aa9c16d1b0f6a3c7d5e8f90123456789abcdef" as CommitId;

export class FakeCluster implements ClusterView {
  readonly me: MachineId;
  readonly version = "0.0.0-test";
  /** What `picture` resolves with, or rejects with when it is an Error. */
  now: ClusterPicture | Error;
  syncs: (signal?: AbortSignal) => Promise<SyncResult> = async () => ({
    outcome: "unchanged",
    commit: sampleCommit,
    problems: [],
  });
  readonly listeners = new Set<() => void>();

  constructor(now: ClusterPicture | Error = emptyPicture(), me: MachineId = sampleIds.n3) {
    this.now = now;
    this.me = me;
  }

  async picture(): Promise<ClusterPicture> {
    if (this.now instanceof Error) throw this.now;
    return this.now;
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  sync(signal?: AbortSignal): Promise<SyncResult> {
    return this.syncs(signal);
  }

  /** Sets a new picture and tells every listener. */
  change(now: ClusterPicture): void {
    this.now = now;
    for (const listener of this.listeners) listener();
  }
}

/** What `machine` of the sample knows by itself while the registry is away. */
export function alonePicture(machine: MachineId = sampleIds.n3): ClusterPicture {
  const { machines, manifests, statuses } = samplePicture();
  const own = <Value>(all: ReadonlyMap<MachineId, Value>) => new Map([...all].filter(([id]) => id === machine));
  const problem = {
    code: "registry-unreachable",
    message: "Cannot reach the registry; this is what this machine knows",
  };
  return {
    ...emptyPicture(),
    ...{ stale: true, machines: own(machines), manifests: own(manifests), statuses: own(statuses) },
    ...{ desired: undefined, placing: undefined, problems: [problem] },
  };
}

export function emptyPicture(): ClusterPicture {
  return {
    registryRevision: 1,
    machines: new Map(),
    settings: new Map(),
    leader: undefined,
    revision: {},
    manifests: new Map(),
    statuses: new Map(),
    desired: {
      commit: undefined,
      units: new Map(),
      templates: new Map(),
      submitted: new Map(),
      held: new Map(),
      unknown: new Set(),
    },
    holds: new Map(),
    events: [],
    placing: { wanted: [], machines: [], placements: [] },
    decisions: [],
    problems: [],
  };
}

/** What placement looks at in a picture whose machines are all known. */
function placingOf({
  machines,
  settings,
  manifests,
  statuses,
  desired,
}: Omit<ClusterPicture, "placing">): ClusterState {
  const listed = [...manifests].flatMap(([on, { units }]) =>
    units.map(({ name, target }) => ({ unit: name, on, target })),
  );
  const isUp = (active: string): boolean => active === "active" || active === "activating";
  return {
    wanted: [...(desired?.units.values() ?? [])].map(({ name, target, options }) => ({ name, target, options })),
    machines: [...machines.values()].map(({ id, metadata, memoryBytes, cpus }) => ({
      ...{ id, metadata, standing: "present", memoryBytes, milliCpus: cpus * 1_000 },
      ...(settings.get(id)?.cordoned === true ? { cordoned: true } : {}),
    })),
    placements: listed.filter(({ target }) => target !== "released"),
    leaving: listed.filter(({ target }) => target === "released"),
    running: [...statuses].flatMap(([on, { units }]) =>
      units.flatMap(({ name, active }) => (isUp(active) ? [{ unit: name, on }] : [])),
    ),
  };
}

export function sampleMachine(id: MachineId, more: Partial<Machine> = {}): Machine {
  return {
    id,
    nonce: "boot-1",
    hostname: "",
    publicIp: "",
    metadata: {},
    cpus: 2,
    memoryBytes: 4 * 1024 ** 3,
    mayLead: true,
    version: "0.1.0",
    ...more,
  };
}

export interface UnitSample extends Partial<Omit<Unit, "name" | "options">> {
  readonly options?: Partial<PlacementOptions>;
}

export function sampleUnit(name: string, more: UnitSample = {}): Unit {
  return {
    source: "git",
    file: `static/${name}`,
    text: `[Unit]\nDescription=${name}\n\n[Service]\nExecStart=/bin/sleep infinity\n`,
    dropIns: [],
    hash: sampleHash(name),
    target: "launched",
    onChange: "restart",
    description: name,
    hasInstall: false,
    ...more,
    name: name as UnitName,
    options: {
      machineId: undefined,
      machineOf: [],
      metadata: [],
      conflicts: [],
      replaces: [],
      global: false,
      ...more.options,
    },
  };
}

/** A stand-in for a hash: 40 hex digits made from the name, the same every time. */
export function sampleHash(name: string): UnitHash {
  let state = 0x811c9dc5;
  let hex = "";
  for (let index = 0; index < 5; index++) {
    for (const character of `${index}${name}`) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 0x01000193);
    hex += (state >>> 0).toString(16).padStart(8, "0");
  }
  return hex as UnitHash;
}

export function sampleManifest(
  machine: MachineId,
  units: Readonly<Record<string, ManifestTarget>>,
  more: { readonly generation?: number; readonly commit?: CommitId } = {},
): readonly [MachineId, Manifest] {
  const entries = Object.entries(units).map(([name, target]) => ({
    name: name as UnitName,
    source: "git" as const,
    commit: more.commit ?? sampleCommit,
    hash: sampleHash(name),
    target,
  }));
  return [machine, { machine, epoch: 812, generation: more.generation ?? 4, units: entries }];
}

export function sampleStatus(
  machine: MachineId,
  units: Readonly<Record<string, Partial<UnitStatus>>>,
  more: { readonly generation?: number } = {},
): readonly [MachineId, MachineStatus] {
  const statuses = Object.entries(units).map(([name, status]) => ({
    load: "loaded",
    active: "active",
    sub: "running",
    result: "success",
    sinceMs: sampleNowMs - 262_000,
    restarts: 0,
    hash: sampleHash(name),
    ...status,
    name: name as UnitName,
  }));
  return [machine, { machine, seen: { epoch: 812, generation: more.generation ?? 4 }, units: statuses }];
}

function byName<T extends { readonly name: UnitName }>(...all: readonly T[]): ReadonlyMap<UnitName, T> {
  return new Map([...all].sort((a, b) => (a.name < b.name ? -1 : 1)).map((each) => [each.name, each]));
}

const failed: ProblemRecord = {
  code: "unit-start",
  message: 'Cannot start unit "db.service": Job for db.service failed: exit-code',
  hint: "journalctl -u db.service says why",
};

/** Three living machines, one lost, and units in every state that a report knows. */
export function samplePicture(): ClusterPicture {
  const { n1, n2, n3, gone } = sampleIds;
  const template = sampleUnit("web@.service", {
    file: "templates/web@.service",
    text: "[Unit]\nDescription=Web server %i\n\n[Service]\nExecStart=/bin/sleep infinity\n\n[X-Fleet]\nConflicts=web@*.service\n",
    target: "inactive",
    description: "Web server %i",
  });
  const web = (instance: string) =>
    sampleUnit(`web@${instance}.service`, {
      file: `instances/web@${instance}.service`,
      text: template.text,
      description: `Web server ${instance}`,
      options: { conflicts: ["web@*.service"] },
    });
  const decisions: readonly Decision[] = [
    {
      kind: "wait",
      unit: "web@4.service" as UnitName,
      refusals: [
        { rule: "conflict", machines: 2, example: "conflicts with web@1.service" },
        { rule: "metadata", machines: 1, example: "needs role=web" },
      ],
    },
  ];
  const picture: Omit<ClusterPicture, "placing"> = {
    registryRevision: 4711,
    settings: new Map(),
    machines: new Map([
      [
        n3,
        sampleMachine(n3, {
          hostname: "n3",
          publicIp: "10.79.0.13",
          metadata: { role: "web", region: "us", disk: "ssd" },
        }),
      ],
      [n2, sampleMachine(n2, { hostname: "n2", publicIp: "10.79.0.12", metadata: { region: "eu", role: "db" } })],
      [n1, sampleMachine(n1, { hostname: "n1", mayLead: false })],
    ]),
    leader: { machine: n2, hostname: "n2", epoch: 812 },
    revision: {
      adopted: {
        commit: sampleCommit,
        ref: "main",
        epoch: 812,
        atMs: sampleNowMs - 300_000,
        subject: "Add a fourth web server",
        author: "Ann Example <ann@example.org>",
      },
      refused: {
        commit: refusedCommit,
        ref: "main",
        atMs: sampleNowMs - 60_000,
        problems: [
          {
            code: "unit-unknown-option",
            message: 'Cannot read option "MachineMetdata" in [X-Fleet]',
            hint: "Did you mean MachineMetadata?",
            file: "static/hello.service",
            line: 9,
          },
          { code: "link-dangling", message: 'Cannot follow link "web@9.service"', file: "instances/web@9.service" },
        ],
      },
    },
    manifests: new Map([
      sampleManifest(gone, { "lost.service": "launched", "web@2.service": "released" }, { generation: 2 }),
      sampleManifest(n3, { "hello.service": "launched", "log.service": "launched", "web@1.service": "launched" }),
      sampleManifest(n2, { "db.service": "launched", "log.service": "launched", "parked.service": "loaded" }),
      sampleManifest(
        n1,
        {
          "fresh.service": "launched",
          "log.service": "launched",
          "old.service": "released",
          "web@2.service": "launched",
        },
        { generation: 6, commit: olderCommit },
      ),
    ]),
    statuses: new Map([
      sampleStatus(n3, {
        "hello.service": {},
        "log.service": { sinceMs: sampleNowMs - 1_000_000, restarts: 2 },
        "web@1.service": { sinceMs: sampleNowMs - 5000 },
      }),
      sampleStatus(n2, {
        "db.service": { active: "failed", sub: "failed", result: "exit-code", restarts: 5, problem: failed },
        "log.service": {},
        "parked.service": { active: "inactive", sub: "dead", result: "", sinceMs: 0 },
      }),
      sampleStatus(
        n1,
        {
          "log.service": { active: "activating", sub: "start", sinceMs: sampleNowMs - 900 },
          "old.service": { active: "deactivating", sub: "stop-sigterm" },
          "web@2.service": {},
        },
        { generation: 5 },
      ),
    ]),
    desired: {
      commit: sampleCommit,
      units: byName(
        sampleUnit("hello.service", {
          description: "Says hello",
          dropIns: [
            {
              name: "10-limits.conf",
              file: "static/hello.service.d/10-limits.conf",
              text: "[Service]\nMemoryMax=64M\n",
            },
          ],
        }),
        sampleUnit("db.service", { description: "日本語のデータベース" }),
        sampleUnit("fresh.service", { description: undefined }),
        sampleUnit("log.service", { description: "Collects logs", options: { global: true } }),
        sampleUnit("lost.service"),
        sampleUnit("off.service", { target: "inactive" }),
        sampleUnit("parked.service", { target: "loaded" }),
        web("1"),
        web("2"),
        web("4"),
      ),
      templates: byName(template),
      submitted: new Map(),
      held: new Map(),
      unknown: new Set(),
    },
    holds: new Map(),
    events: [],
    decisions,
    problems: [
      {
        code: "git-unreachable",
        message: 'Cannot fetch "https://git.example.org/units.git": connect ECONNREFUSED',
        hint: "It is tried again with growing pauses",
      },
    ],
  };
  return { ...picture, placing: placingOf(picture) };
}

/** The sample with two of its units held, one for two hours, and a unit that somebody submitted. */
export function heldPicture(): ClusterPicture {
  const picture = samplePicture();
  const { desired } = picture;
  if (desired === undefined) throw new Error("The sample has units");
  const hold = { by: "ann@lap", atMs: sampleNowMs - 600_000 };
  const holds: readonly Hold[] = [
    {
      ...hold,
      unit: "db.service" as UnitName,
      target: "loaded",
      why: "disk is replaced",
      untilMs: sampleNowMs + 7_200_000,
    },
    { ...hold, unit: "web@4.service" as UnitName, target: "inactive" },
  ];
  const held = new Map(holds.map((each) => [each.unit, each]));
  const units = [...desired.units.values()].map((unit) => ({
    ...unit,
    target: held.get(unit.name)?.target ?? unit.target,
  }));
  const byHand = sampleUnit("byhand.service", { source: "submitted", file: "", target: "inactive" });
  const overruled: Omit<ClusterPicture, "placing"> = {
    ...picture,
    holds: held,
    decisions: [],
    desired: {
      ...desired,
      units: byName(...units, byHand),
      held: new Map(holds.map((each) => [each.unit, { hold: each, declared: "launched" }])),
    },
  };
  return { ...overruled, placing: placingOf(overruled) };
}

/** The sample with a unit that no machine takes, reserves, and a machine that is cordoned. */
export function crowdedPicture(): ClusterPicture {
  const picture = samplePicture();
  const { desired } = picture;
  if (desired === undefined) throw new Error("The sample has units");
  const { n1 } = sampleIds;
  const gigabyte = 1024 ** 3;
  const role = (value: string) => ({ metadata: [{ key: "role", values: [value] }] });
  const units = [...desired.units.values()].map((unit) =>
    unit.name === "web@1.service"
      ? { ...unit, options: { ...unit.options, memory: { bytes: 2 * gigabyte }, milliCpus: 500 } }
      : unit,
  );
  const crowded: Omit<ClusterPicture, "placing"> = {
    ...picture,
    settings: new Map([[n1, { machine: n1, metadata: {}, cordoned: true, by: "ann@lap", atMs: sampleNowMs }]]),
    desired: {
      ...desired,
      units: byName(
        ...units,
        sampleUnit("batch.service", { options: { ...role("web"), memory: { bytes: 3 * gigabyte } } }),
        sampleUnit("cache.service", {
          options: { priority: 5, prefer: [{ key: "disk", test: "equals", value: "ssd" }] },
        }),
        sampleUnit("probe.service", { options: { ...role("db"), global: true } }),
      ),
    },
    decisions: [],
  };
  return { ...crowded, placing: placingOf(crowded) };
}
