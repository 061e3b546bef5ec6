// All loops of one machine, started together and ended together. What they work with is handed in; nothing here knows
// an adapter.
import type { Machine } from "../domain/machine.ts";
import { Problem, toRecord } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";
import type { Cron } from "../ports/cron.ts";
import type { Disk } from "../ports/disk.ts";
import type { Git } from "../ports/git.ts";
import type { Hands } from "../ports/hands.ts";
import type { Log } from "../ports/log.ts";
import type { Registry } from "../ports/registry.ts";
import type { Systemd } from "../ports/systemd.ts";
import { keys } from "../text/values.ts";
import { Beat, type Facts } from "./beat.ts";
import { Commits } from "./commits.ts";
import { Fence } from "./fence.ts";
import { KeptTexts } from "./kept-texts.ts";
import { lead } from "./lead.ts";
import { Local } from "./local.ts";
import { type Mirror, createMirror } from "./mirror.ts";
import { OwnManifest } from "./own-manifest.ts";
import { ClusterHands } from "./hands.ts";
import { Restores } from "./restores.ts";
import { Statuses } from "./statuses.ts";
import { SubmittedTexts } from "./submitted-texts.ts";
import type { Sync } from "./sync.ts";
import { Troubles } from "./troubles.ts";
import { View } from "./view.ts";

export interface AgentParts {
  /** This machine, as it announces itself. */
  readonly machine: Machine;
  /** Its name and address, asked for again while it runs; undefined: they do not change. */
  readonly facts?: (() => Promise<Facts>) | undefined;
  readonly registry: Registry;
  readonly systemd: Systemd;
  /** Undefined: no repository is set; this machine then leads only a cluster that never had one. */
  readonly git:
    | {
        readonly port: Git;
        readonly schedule: string;
        readonly jitterMs: number;
        readonly branch: string;
        /** What agents on one store read of it together; this agent's own unless set. */
        readonly commits?: Commits;
      }
    | undefined;
  readonly cron: Cron;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether this cluster takes units that people submit. */
  readonly allowSubmit: boolean;
  /** Units that this machine, when it leads, may move in a minute for balance; 0: none. */
  readonly rebalancePerMinute: number;
  /** While more than so many of a hundred machines are lost, none of their units is moved; 100: they always are. */
  readonly lossBrakePercent: number;
  readonly machineLeaseMs: number;
  readonly engineLeaseMs: number;
  /** Where others tell of what is wrong with this agent, too; its own unless set. */
  readonly troubles?: Troubles;
}

/** A running agent: what the API shows of it, and the promise that it has ended. */
export interface Agent {
  readonly view: View;
  /** For what people change beside git. */
  readonly hands: Hands;
  /** Resolves once every loop has ended and leadership is resigned; never rejects. */
  readonly done: Promise<void>;
}

/** Starts every loop; they end with `signal`. Units are left as they are. */
export function startAgent(parts: AgentParts, signal: AbortSignal): Agent {
  const { registry, systemd, git, allowSubmit, disk, clock, log } = parts;
  const machine: Machine = {
    ...parts.machine,
    ...(git === undefined ? {} : { hasRepository: true }),
    ...(allowSubmit ? {} : { allowSubmit: false }),
  };
  const troubles = parts.troubles ?? new Troubles();
  if (git === undefined && !allowSubmit) {
    const problem = new Problem("git-unset", "Cannot take any unit: no repository is set, and none may be submitted", {
      hint: "Set [Git] URL=, or [Agent] AllowSubmit=yes",
    });
    troubles.set("git", toRecord(problem));
  }
  const commits = git === undefined ? undefined : (git.commits ?? new Commits(git.port));
  const common = { clock, log, troubles };
  const restores = new Restores(clock);
  const beat = new Beat({
    machine,
    facts: parts.facts,
    registry,
    disk,
    leaseMs: parts.machineLeaseMs,
    restores,
    ...common,
  });
  const mirrorOf = (prefix: string): Mirror => createMirror({ registry, clock, log, prefix, restores });
  const cluster = mirrorOf("");
  const own = mirrorOf(keys.manifest(machine.id));
  const record = mirrorOf(keys.machine(machine.id));
  let read: { readonly revision: number; readonly atMs: number } | undefined;
  const offer = () => {
    // What lags behind what was read by itself is not offered again
    if (read !== undefined && own.revision < read.revision && own.connectedSinceMs < read.atMs) return;
    const entry = own.get(keys.manifest(machine.id));
    // A missing key says nothing.
    if (entry !== undefined) local.offer(entry.value);
  };
  const fence: Fence = new Fence({
    ...{ me: machine.id, systemd, registry, beat },
    offer: ({ value }, revision) => {
      // The watch was quicker, and may have brought a newer one
      if (own.connected && own.revision >= revision) {
        offer();
        return;
      }
      read = { revision, atMs: clock.monotonicMs() };
      local.offer(value);
    },
    ...common,
  });
  const local: Local = new Local({
    systemd,
    fence,
    manifest: new OwnManifest({ me: machine.id, disk, log, troubles }),
    texts: {
      git: git === undefined || commits === undefined ? undefined : { port: git.port, commits },
      submitted: new SubmittedTexts({ registry, allowSubmit }),
      kept: new KeptTexts({ disk, log }),
    },
    registryReady: async (each) => {
      await Promise.all([own.ready(each).then(offer), beat.judged(each)]);
    },
    mayBegin: (each) => beat.unrefused(each),
    ...common,
  });
  const statuses = new Statuses({ registry, systemd, local, beat, ...common });
  let leading: Sync | undefined;
  const view = new View(
    {
      get machine() {
        return beat.machine;
      },
      version: machine.version,
      mirror: cluster,
      registry,
      git: git?.port,
      commits,
      allowSubmit,
      local,
      statuses,
      troubles,
      clock,
      log,
      leading: () => leading,
    },
    signal,
  );
  const onManifest = (): void => {
    offer();
    fence.heed();
  };
  let recordSinceMs = -Infinity;
  const onRecord = (): void => {
    // Even where the record and the manifest are what they were the status may be an older one
    if (record.connectedSinceMs > recordSinceMs) statuses.doubt();
    recordSinceMs = record.connectedSinceMs;
    beat.seen(record.get(keys.machine(machine.id)), record.revision);
  };
  const loops = [
    beat.run(signal),
    fence.run(signal),
    local.run(signal),
    statuses.run(signal),
    follow({ mirror: own, onChange: onManifest }, signal),
    follow({ mirror: record, onChange: onRecord }, signal),
  ];
  const source = git === undefined || commits === undefined ? undefined : { ...git, commits };
  if (machine.mayLead && (source !== undefined || allowSubmit)) {
    const leader = {
      mirror: cluster,
      registrySinceMs: () => (own.connected ? own.connectedSinceMs : clock.monotonicMs()),
      registryWentBackMs: () => restores.foundMs,
      onBehind: () => beat.mark(),
      onSync: (sync: Sync | undefined) => void (leading = sync),
    };
    loops.push(lead({ ...parts, ...leader, git: source, troubles }, signal));
  }
  const done = Promise.all(loops).then(() => undefined);
  const hands = new ClusterHands({ registry, view, seen: (revision) => view.reached(revision), allowSubmit, clock });
  return { view, hands, done };
}

/** Has `onChange` called at every change of what the mirror shows. */
async function follow(
  { mirror, onChange }: { readonly mirror: Mirror; readonly onChange: () => void },
  signal: AbortSignal,
): Promise<void> {
  const stop = mirror.onChange(onChange);
  const release = mirror.acquire();
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  stop();
  release();
}
