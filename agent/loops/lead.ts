// Campaigns; while this machine leads, it syncs and runs the engine; resigns on shutdown. One tenure after another. Without a
// repository it leads only a cluster that has never adopted a commit, and only while nobody is there who has a repository
// and may lead: what people submit is all that there is.
import type { Machine } from "../domain/machine.ts";
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";
import type { Cron } from "../ports/cron.ts";
import type { Git } from "../ports/git.ts";
import type { Log } from "../ports/log.ts";
import type { Entry, Registry } from "../ports/registry.ts";
import { encodeLeader, keys, parseMachine } from "../text/values.ts";
import type { Commits } from "./commits.ts";
import { Engine } from "./engine.ts";
import type { Mirror } from "./mirror.ts";
import { Sync } from "./sync.ts";
import { type Tenure, campaign } from "./tenure.ts";
import type { Troubles } from "./troubles.ts";

export interface LeadPorts {
  readonly machine: Machine;
  readonly registry: Registry;
  readonly mirror: Mirror;
  /** Undefined: no repository is set. */
  readonly git:
    | {
        readonly port: Git;
        readonly commits: Commits;
        readonly schedule: string;
        readonly jitterMs: number;
        readonly branch: string;
      }
    | undefined;
  readonly allowSubmit: boolean;
  /** Units moved for balance in a minute; 0: none. */
  readonly rebalancePerMinute: number;
  /** While more than so many of a hundred machines are lost, none of their units is moved; 100: they always are. */
  readonly lossBrakePercent: number;
  readonly cron: Cron;
  readonly clock: Clock;
  readonly log: Log;
  readonly troubles: Troubles;
  readonly engineLeaseMs: number;
  readonly machineLeaseMs: number;
  /** Monotonic ms since when this machine has had the registry without a break, leading or not. */
  readonly registrySinceMs: () => number;
  /** Monotonic ms when this machine last found the registry put back to an earlier state; -Infinity: never. */
  readonly registryWentBackMs: () => number;
  /** Called when machines are found that are ahead of the registry: it was put back. */
  readonly onBehind: () => void;
  /** Told of this machine's syncing when it begins to lead, and of undefined when it ceases to. */
  readonly onSync: (sync: Sync | undefined) => void;
}

/** Until `signal`; never rejects. */
export async function lead(ports: LeadPorts, signal: AbortSignal): Promise<void> {
  const { machine, registry, mirror, git, clock, log, troubles, allowSubmit } = ports;
  const value = encodeLeader({ machine: machine.id, hostname: machine.hostname });
  while (!signal.aborted) {
    const tenure = await campaign(
      {
        ...{ registry, clock, log, key: keys.leader, value, leaseMs: ports.engineLeaseMs },
        ...(git === undefined ? { isFit: (each) => mayLeadByHand(registry, each) } : {}),
      },
      signal,
    );
    if (tenure === undefined) return;
    log.info("leader.elected", { machine: machine.id, epoch: tenure.epoch });
    const release = mirror.acquire();
    const { machineLeaseMs, registrySinceMs, registryWentBackMs, rebalancePerMinute, lossBrakePercent } = ports;
    const { hostname } = machine;
    const { onBehind } = ports;
    const engine = new Engine(
      {
        registry,
        mirror,
        machineLeaseMs,
        registrySinceMs,
        registryWentBackMs,
        onBehind,
        allowSubmit,
        rebalancePerMinute,
        lossBrakePercent,
        hostname,
        clock,
        log,
        troubles,
      },
      tenure,
    );
    if (git === undefined) await runByHand(ports, { engine, tenure });
    else await syncAndRun({ ...ports, git }, { engine, tenure });
    release();
    for (const source of ["engine", "sync", "git", "commit", "loss-brake", "restored", "manifest-size"])
      troubles.clear(source);
    await tenure.resign();
    log.info("leader.ceased", { machine: machine.id, epoch: tenure.epoch });
  }
}

/**
 * Whoever has no repository must not decide for a cluster that runs one's commit, or is about to. False for good once there
 * was a commit; rejects while somebody who has a repository is there to lead.
 */
async function mayLeadByHand(registry: Registry, signal: AbortSignal): Promise<boolean> {
  const { entry } = await registry.get(keys.revision, signal);
  if (entry !== undefined) return false;
  const { entries } = await registry.read(keys.machines, signal);
  const [better] = entries.flatMap(fitterThanUs);
  if (better === undefined) return true;
  throw new Problem("git-unset", `Leaves leading to ${better.hostname}, which has a repository`, {
    hint: "To let this machine lead too, set [Git] URL= as there",
  });
}

/** Makes room as soon as somebody comes who has a repository and may lead. */
async function runByHand({ mirror, log }: LeadPorts, { engine, tenure }: Leading): Promise<void> {
  let resigning: Promise<void> | undefined;
  const giveWay = (changed: Iterable<string>): void => {
    for (const key of changed) {
      const [better] = fitterThanUs(mirror.get(key));
      if (better === undefined || tenure.signal.aborted) continue;
      log.info("leader.gives-way", { to: better.hostname });
      resigning ??= tenure.resign(); // the engine ends with the tenure
    }
  };
  const stop = mirror.onChange(giveWay);
  giveWay(mirror.entries().keys());
  engine.want("none", false);
  await engine.run();
  stop();
  await resigning;
}

function fitterThanUs(entry: Entry | undefined): readonly Machine[] {
  if (entry === undefined || !entry.key.startsWith(keys.machines)) return [];
  const read = parseMachine(entry.key, entry.value);
  return read.ok && read.value.mayLead && read.value.hasRepository === true ? [read.value] : [];
}

interface Leading {
  readonly engine: Engine;
  readonly tenure: Tenure;
}

async function syncAndRun(
  ports: LeadPorts & { readonly git: NonNullable<LeadPorts["git"]> },
  { engine, tenure }: Leading,
): Promise<void> {
  const { git, registry, mirror, clock, log, troubles, machine } = ports;
  const sync = new Sync(
    {
      git: git.port,
      commits: git.commits,
      by: machine.hostname,
      registry,
      mirror,
      cron: ports.cron,
      schedule: git.schedule,
      jitterMs: git.jitterMs,
      ref: git.branch,
      clock,
      log,
      troubles,
    },
    tenure,
    (desired, isNewest) => engine.want(desired, isNewest),
  );
  ports.onSync(sync);
  await Promise.all([engine.run(), sync.run()]);
  ports.onSync(undefined);
}
