// The playground's story: brings a cluster up, deploys, shows it, says what to try, tidies up. Knows the cluster only
// through its agents' API and the world's port; what is listed is printed by the ordinary commands.
import { Problem } from "../domain/problem.ts";
import type { ApiClient } from "../ports/api-client.ts";
import type { Clock } from "../ports/clock.ts";
import type { PlaygroundCluster, PlaygroundOptions, PlaygroundWorld } from "../ports/playground.ts";
import { follow } from "./follow.ts";
import { invitation } from "./invitation.ts";
import { type Look, alive, look } from "./look.ts";
import { Narrator, type NarratorOutput } from "./narrator.ts";

/** From all machines up until every unit is where it belongs; generous, because the host may be slow. */
const deployTimeoutMs = 120_000;
/** A dead machine's lease, its units' start, and room for a slow host. */
const moveTimeoutMs = 60_000;
/** For so long nothing may stir: a status can tell of the moment between two states of a unit. */
const steadyMs = 400;

export interface Stage {
  readonly world: PlaygroundWorld;
  readonly clock: Clock;
  readonly stderr: NarratorOutput;
  readonly connect: (socket: string) => Promise<ApiClient>;
  /** Runs one command of flotilla as if typed, on the same outputs; resolves with its exit code. */
  readonly show: (args: readonly string[]) => Promise<number>;
  /** How the reader calls flotilla in another terminal, ready for a shell, e.g. `node dist/main.js`. */
  readonly command: string;
}

export interface PlaygroundRun extends PlaygroundOptions {
  readonly once: boolean;
}

/**
 * Resolves with the exit code, after everything is tidied away. Rejects when it could not be brought up, and with `once`
 * also when `signal` came before it was done; without, `signal` is the usual end.
 */
export async function playground(stage: Stage, run: PlaygroundRun, signal: AbortSignal): Promise<number> {
  const story = new Narrator(stage.stderr, stage.clock);
  let cluster: PlaygroundCluster | undefined;
  try {
    cluster = await stage.world.open(run, (step) => story.step(step), signal);
    const scene: Scene = { stage, story, cluster, signal };
    const control = await stage.world.serveControl(cluster);
    try {
      await settled(scene, deployTimeoutMs);
      await listings(scene);
      if (run.once) return await once(scene);
      story.say(invitation(stage.command, cluster));
      await follow({ ...stage, story, cluster }, signal);
      return 0;
    } finally {
      await control.close();
    }
  } catch (error) {
    if (signal.aborted && !run.once) return 0;
    throw error;
  } finally {
    if (cluster !== undefined) {
      // Below the ^C that a terminal shows.
      if (signal.aborted && stage.stderr.isTerminal) story.say("");
      story.step("Tidying up");
      await cluster.close();
      story.step("Nothing is left");
    }
    await story.told();
  }
}

interface Scene {
  readonly stage: Stage;
  readonly story: Narrator;
  readonly cluster: PlaygroundCluster;
  readonly signal: AbortSignal;
}

/** Kills a machine and waits until its units run elsewhere; 0 when that came about. */
async function once(scene: Scene): Promise<number> {
  const { stage, story, cluster } = scene;
  const victim = cluster.machines.filter((machine) => machine.running).at(-1);
  if (victim === undefined || cluster.machines.length < 2) {
    story.say("");
    story.step("No machine is killed: there is no other one for its units");
    return 0;
  }
  story.say("");
  story.step(`Killing ${victim.name}: its systemd, its units and its agent end at once`);
  const fromMs = stage.clock.monotonicMs();
  await cluster.kill(victim.name);
  await settled(scene, moveTimeoutMs);
  story.step(
    `The units of ${victim.name} run elsewhere, ${seconds(stage.clock.monotonicMs() - fromMs)} after it was killed`,
  );
  await listings(scene);
  return 0;
}

async function listings({ stage, story, cluster, signal }: Scene): Promise<void> {
  const { socket } = alive(cluster);
  for (const args of [["list-machines", "--fields", "machine,hostname,metadata,leader,units"], ["list-units"]]) {
    story.say(`\n$ flotilla ${args.join(" ")}`);
    await story.told();
    const code = await stage.show([...args, "--socket", socket]);
    signal.throwIfAborted();
    if (code !== 0) throw new Problem("playground-listing", `Cannot show the cluster: ${args[0] ?? ""} failed`);
  }
}

/** Waits until every unit is where the engine wants it and systemd has done its part, showing how far that is. */
async function settled({ stage, story, cluster, signal }: Scene, timeoutMs: number): Promise<void> {
  const over = new AbortController();
  const stop = () => over.abort();
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  const alarm = stage.clock.sleep(timeoutMs, over.signal).then(stop, () => undefined);
  const quiet = new Quiet(stage.clock, stop);
  let last: Look | undefined;
  try {
    const client = await stage.connect(alive(cluster).socket);
    for await (const _change of client.changes(over.signal)) {
      last = await look(client, cluster, over.signal);
      story.progress(last.text);
      if (last.settled) quiet.begin();
      else quiet.interrupt();
    }
  } catch (error) {
    signal.throwIfAborted();
    if (quiet.reached) return;
    if (!over.signal.aborted) throw error;
    throw new Problem("playground-timeout", `Cannot see the cluster settle within ${seconds(timeoutMs)}`, {
      hint: `Last seen: ${last?.text ?? "nothing"}`,
    });
  } finally {
    over.abort();
    quiet.interrupt();
    signal.removeEventListener("abort", stop);
    await alarm;
    story.settle();
  }
}

/** Calls `done` when it was begun and not interrupted for `steadyMs`. */
class Quiet {
  reached = false;
  readonly #clock: Clock;
  readonly #done: () => void;
  #waiting: AbortController | undefined;

  constructor(clock: Clock, done: () => void) {
    this.#clock = clock;
    this.#done = done;
  }

  begin(): void {
    if (this.#waiting !== undefined || this.reached) return;
    const waiting = new AbortController();
    this.#waiting = waiting;
    const reach = () => {
      this.reached = true;
      this.#done();
    };
    this.#clock
      .sleep(steadyMs, waiting.signal)
      .then(reach, () => undefined)
      .catch(() => undefined);
  }

  interrupt(): void {
    this.#waiting?.abort();
    this.#waiting = undefined;
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
