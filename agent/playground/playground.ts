// The playground's story: brings a cluster up, deploys, shows it, says what to try, tidies up. Knows the cluster only
// through its agents' API and the world's port; what is listed is printed by the ordinary commands.
import type { ClusterReport, UnitFileReport, UnitReport } from "../domain/report.ts";
import { Problem, describeProblem } from "../domain/problem.ts";
import type { ApiClient } from "../ports/api-client.ts";
import type { Clock } from "../ports/clock.ts";
import type { PlaygroundCluster, PlaygroundMachine, PlaygroundOptions, PlaygroundWorld } from "../ports/playground.ts";
import { Narrator, type NarratorOutput } from "./narrator.ts";

/** From all machines up until every unit is where it belongs; generous, because the host may be slow. */
const deployTimeoutMs = 120_000;
/** A dead machine's lease, its units' start, and room for a slow host. */
const moveTimeoutMs = 60_000;

export interface Stage {
  readonly world: PlaygroundWorld;
  readonly clock: Clock;
  readonly stderr: NarratorOutput;
  readonly connect: (socket: string) => Promise<ApiClient>;
  /** Runs one command of flotilla as if typed, on the same outputs; resolves with its exit code. */
  readonly show: (args: readonly string[]) => Promise<number>;
  /** How the reader calls flotilla in another terminal, e.g. `node dist/main.js`. */
  readonly command: string;
}

export interface PlaygroundRun extends PlaygroundOptions {
  readonly once: boolean;
}

/** Resolves with the exit code, after everything is tidied away. */
export async function playground(stage: Stage, run: PlaygroundRun, signal: AbortSignal): Promise<number> {
  const story = new Narrator(stage.stderr, stage.clock);
  const over = new AbortController();
  const stop = () => over.abort();
  signal.addEventListener("abort", stop, { once: true });
  let cluster: PlaygroundCluster | undefined;
  try {
    cluster = await stage.world.open(run, (step) => story.step(step), over.signal);
    const control = await stage.world.serveControl(cluster);
    try {
      await settled({ stage, story, cluster, timeoutMs: deployTimeoutMs, signal: over.signal });
      await listings(stage, story, cluster);
      if (run.once) return await once({ stage, story, cluster, signal: over.signal });
      story.say(invitation(stage, cluster));
      await follow({ stage, story, cluster, signal: over.signal });
      return 0;
    } finally {
      await control.close();
    }
  } catch (error) {
    // Ctrl-C is the usual way to end it.
    if (signal.aborted) return 0;
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    if (cluster !== undefined) {
      story.step("Tidying up");
      await cluster.close();
    }
    story.end(cluster === undefined ? "" : "Nothing is left");
  }
}

interface Scene {
  readonly stage: Stage;
  readonly story: Narrator;
  readonly cluster: PlaygroundCluster;
  readonly signal: AbortSignal;
}

/** Deploys, kills a machine, waits until its units run elsewhere; 0 when all of that came about. */
async function once(scene: Scene): Promise<number> {
  const { stage, story, cluster } = scene;
  const victim = cluster.machines.filter((machine) => machine.running).at(-1);
  if (victim === undefined || cluster.machines.length < 2) return 0;
  story.say(`\nKilling ${victim.name} (process ${victim.pid ?? 0})`);
  const fromMs = stage.clock.monotonicMs();
  await cluster.kill(victim.name);
  await settled({ ...scene, timeoutMs: moveTimeoutMs });
  story.say(`Its units run elsewhere after ${seconds(stage.clock.monotonicMs() - fromMs)}`);
  await listings(stage, story, cluster);
  return 0;
}

async function listings(stage: Stage, story: Narrator, cluster: PlaygroundCluster): Promise<void> {
  const socket = alive(cluster).socket;
  for (const args of [["list-machines"], ["list-units"]]) {
    story.say(`\n$ flotilla ${args.join(" ")}`);
    await stage.show([...args, "--socket", socket]);
  }
}

function alive(cluster: PlaygroundCluster): PlaygroundMachine {
  const machine = cluster.machines.find((each) => each.running);
  if (machine === undefined) {
    throw new Problem("playground-dark", "Cannot ask the cluster: every machine is off", {
      hint: "Switch one on: flotilla playground start m1",
    });
  }
  return machine;
}

/** Waits until every unit is where the engine wants it and systemd has done its part, showing how far that is. */
async function settled(scene: Scene & { readonly timeoutMs: number }): Promise<void> {
  const { stage, story, cluster, signal } = scene;
  const over = new AbortController();
  const stop = () => over.abort();
  signal.addEventListener("abort", stop, { once: true });
  const alarm = stage.clock.sleep(scene.timeoutMs, over.signal).then(stop, () => undefined);
  let last: Look | undefined;
  try {
    const client = await stage.connect(alive(cluster).socket);
    for await (const _change of client.changes(over.signal)) {
      last = await look(client, cluster, over.signal);
      story.progress(last.text);
      if (last.settled) return;
    }
  } catch (error) {
    if (signal.aborted || !over.signal.aborted) throw error;
    throw new Problem("playground-timeout", `Cannot see the cluster settle within ${seconds(scene.timeoutMs)}`, {
      hint: `Last seen: ${last?.text ?? "nothing"}; see flotilla status`,
    });
  } finally {
    over.abort();
    signal.removeEventListener("abort", stop);
    await alarm;
    story.settle();
  }
}

interface Look {
  readonly settled: boolean;
  readonly text: string;
  readonly units: readonly UnitReport[];
  readonly problems: readonly string[];
}

const underWay: readonly string[] = ["activating", "deactivating", "reloading"];

function isMoving(unit: UnitReport, global: boolean): boolean {
  // A global unit's place on a machine that is gone is kept for its return: it goes nowhere else.
  if (unit.knowledge === "lost") return !global;
  if (unit.knowledge === "pending" || underWay.includes(unit.active ?? "")) return true;
  // Told to run and never yet done so; one that ran and ended has a moment of its last change.
  return unit.target === "launched" && unit.active === "inactive" && unit.sinceMs === undefined;
}

async function look(client: ApiClient, cluster: PlaygroundCluster, signal: AbortSignal): Promise<Look> {
  const ask = { signal };
  // Three answers of this same version's own agent; their shapes are tested with the API.
  const status = (await client.get("/v2/status", ask)) as ClusterReport;
  const { unitFiles } = (await client.get("/v2/unit-files", ask)) as { unitFiles: readonly UnitFileReport[] };
  const { units } = (await client.get("/v2/units", ask)) as { units: readonly UnitReport[] };
  const on = cluster.machines.filter((machine) => machine.running).length;
  const waiting = new Set(status.units.waiting);
  const undone = unitFiles.filter(
    (file) => !file.template && !file.global && file.state !== file.desired && !waiting.has(file.name),
  );
  const globals = unitFiles.filter((file) => file.global && !file.template && file.desired !== "inactive");
  const missing = globals.filter(
    (file) =>
      !waiting.has(file.name) && units.filter((unit) => unit.name === file.name && unit.machine.alive).length < on,
  );
  const isGlobal = new Set(unitFiles.filter((file) => file.global).map((file) => file.name));
  const moving = units.filter((unit) => isMoving(unit, isGlobal.has(unit.name)));
  const active = units.filter((unit) => unit.knowledge === "reported" && unit.active === "active");
  const quiet = undone.length === 0 && missing.length === 0 && moving.length === 0;
  const adopted = status.adopted === undefined ? "no commit yet" : `commit ${status.adopted.commit.slice(0, 7)}`;
  return {
    settled: status.adopted !== undefined && status.machines.alive === on && quiet,
    text: `${status.machines.alive}/${on} machines, ${adopted}, ${active.length} active, ${moving.length + undone.length + missing.length} to come`,
    units,
    problems: [...status.problems, ...(status.refused?.problems ?? [])].map(describeProblem),
  };
}

/** Says what changes, until the end: units that come, go, move or fail; machines; refused commits. */
async function follow(scene: Scene): Promise<void> {
  const { stage, story, cluster, signal } = scene;
  let before = new Map<string, string>();
  let said = new Set<string>();
  let first = true;
  while (!signal.aborted) {
    const next = new AbortController();
    const stop = () => next.abort();
    signal.addEventListener("abort", stop, { once: true });
    // The agent that is listened to may be the one that is killed: then the next one is asked.
    const unlisten = cluster.onChange(stop);
    try {
      const client = await stage.connect(alive(cluster).socket);
      for await (const _change of client.changes(next.signal)) {
        const seen = await look(client, cluster, next.signal);
        const now = new Map(
          seen.units.map((unit) => [
            `${unit.name} ${unit.machine.hostname || unit.machine.id.slice(0, 8)}`,
            stateOf(unit),
          ]),
        );
        if (!first) for (const line of differences(before, now)) story.say(line);
        for (const problem of seen.problems) if (!said.has(problem)) story.say(problem);
        said = new Set(seen.problems);
        before = now;
        first = false;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      // Its machine went down, or all are off: wait for one that is on, a moment at a time.
      await stage.clock.sleep(300, signal).catch(() => undefined);
    } finally {
      unlisten();
      signal.removeEventListener("abort", stop);
    }
  }
}

function stateOf(unit: UnitReport): string {
  if (unit.knowledge !== "reported") return unit.knowledge;
  return `${unit.active ?? "?"}/${unit.sub ?? "?"}`;
}

function differences(before: ReadonlyMap<string, string>, now: ReadonlyMap<string, string>): readonly string[] {
  const lines: string[] = [];
  for (const [key, state] of now) if (before.get(key) !== state) lines.push(`  ${key}: ${state}`);
  for (const key of before.keys()) if (!now.has(key)) lines.push(`  ${key}: gone`);
  return lines;
}

function invitation({ command }: Stage, cluster: PlaygroundCluster): string {
  const { repository, machines } = cluster;
  const sockets = machines.map((machine) => `  ${machine.name}  unix://${machine.socket}`).join("\n");
  const victim = machines.at(-1)?.name ?? "m1";
  return `
API of each machine (for example: ${command} list-units --socket ${machines[0]?.socket ?? ""}):
${sockets}

Three things to try in another terminal:

  1. Scale out: commit a new symlink, and watch it placed
     cd ${repository}
     ln -s ../templates/web@.service instances/web@4.service
     git add -A && git commit -m "One more web"

  2. Deploy: commit a change of the template, and watch its instances restart in place
     sed -i 's/^Description=.*/Description=Web, second edition/' templates/web@.service
     git commit -am "Second edition"

  3. Kill a machine, watch its units move, and switch it on again
     ${command} playground kill ${victim}
     ${command} playground start ${victim}

Ctrl-C ends it and leaves nothing behind.
`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
