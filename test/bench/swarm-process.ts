// A swarm in a process of its own, told what to do by the bench: so that the leader's memory and processor can be told from
// all the others'. Both ends of the conversation are here.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { FakeRepository } from "../fakes/fake-git.ts";
import { Swarm, type SwarmCounts, instances } from "../system/swarm.ts";

export interface SwarmTask {
  readonly endpoints: readonly string[];
  readonly from: number;
  readonly count: number;
  readonly leaders: number;
}

export interface Usage {
  /** Since the process began. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
}

/** What a swarm can be told, with what it answers. Calls are carried out side by side. */
interface Calls {
  /** Every agent is in the registry. */
  readonly start: (task: SwarmTask) => Promise<undefined>;
  /** A commit of so many instances, the same in every process that is told the same; read at once if `toRead`. */
  readonly commit: (commit: { readonly units: number; readonly toRead: boolean }) => Promise<undefined>;
  /** Has it fetched and adopted through the first agent. */
  readonly sync: () => Promise<undefined>;
  readonly counts: () => Promise<SwarmCounts>;
  readonly usage: () => Promise<Usage>;
  readonly forget: () => Promise<undefined>;
  /** The last so many agents are gone without a word. */
  readonly kill: (count: number) => Promise<undefined>;
  readonly close: () => Promise<undefined>;
}

interface Asked {
  readonly id: number;
  readonly call: keyof Calls;
  readonly argument: unknown;
}

type Answered = { readonly id: number } & ({ readonly value: unknown } | { readonly failure: string });

export class SwarmProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #asked = 0;

  /** `nodeOptions`: beside those that all have. */
  constructor(nodeOptions: readonly string[] = []) {
    const execArgv = ["--import", "tsx", "--max-old-space-size=8000", ...nodeOptions];
    this.#child = fork(fileURLToPath(import.meta.url), ["swarm"], { execArgv });
    this.#child.on("message", (message) => this.#answered(message as Answered));
    this.#child.once("exit", (code, signal) => {
      const error = new Error(`A process of the swarm ended with ${code ?? signal ?? ""}`);
      for (const { reject } of this.#waiting.values()) reject(error);
    });
  }

  async ask<Call extends keyof Calls>(
    call: Call,
    ...[argument]: Parameters<Calls[Call]>
  ): Promise<Awaited<ReturnType<Calls[Call]>>> {
    const id = ++this.#asked;
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#child.send({ id, call, argument } satisfies Asked);
    return (await answer) as Awaited<ReturnType<Calls[Call]>>;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }

  #answered(message: Answered): void {
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if ("failure" in message) waiting?.reject(new Error(message.failure));
    else waiting?.resolve(message.value);
  }
}

function serve(): void {
  const repository = new FakeRepository();
  repository.commit({ README: "Units" });
  let swarm: Swarm | undefined;
  const running = (): Swarm => {
    if (swarm === undefined) throw new Error("The swarm has not been started");
    return swarm;
  };
  const calls: Calls = {
    start: async (task) => {
      swarm = await Swarm.start({ ...task, repository });
      return undefined;
    },
    commit: async ({ units, toRead }) => {
      repository.commit(instances(units));
      if (toRead) await running().read();
      return undefined;
    },
    sync: async () => {
      const { outcome, problems } = await running().agents[0]!.agent.view.sync();
      if (outcome !== "adopted") throw new Error(`The commit was ${outcome}: ${JSON.stringify(problems[0])}`);
      return undefined;
    },
    counts: async () => running().counts(),
    usage: async () => {
      const { user, system } = process.cpuUsage();
      const { rss, heapUsed } = process.memoryUsage();
      return { cpuSeconds: (user + system) / 1e6, residentBytes: rss, heapBytes: heapUsed };
    },
    forget: async () => {
      running().forget();
      return undefined;
    },
    kill: async (count) => {
      await Promise.all(
        running()
          .agents.slice(-count)
          .map((each) => each.kill()),
      );
      return undefined;
    },
    close: async () => {
      await running().close();
      return undefined;
    },
  };
  process.on("message", (message) => {
    const { id, call, argument } = message as Asked;
    (calls[call] as (argument: unknown) => Promise<unknown>)(argument).then(
      (value) => process.send?.({ id, value } satisfies Answered),
      (error: unknown) => process.send?.({ id, failure: String(error) } satisfies Answered),
    );
  });
  process.once("disconnect", () => process.exit(0));
}

if (process.send !== undefined && process.argv[2] === "swarm") serve();
