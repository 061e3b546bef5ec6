// What commands are given, for tests: outputs that are kept, a clock that stands still, everything else as the test says.
import { createApiClient } from "../../agent/adapters/api-client.ts";
import { Problem } from "../../agent/domain/problem.ts";
import type { AgentRequest, Output, PlaygroundRequest, Tools } from "../../agent/cli/tools.ts";
import { FakeClock } from "./fake-clock.ts";
import { sampleNowMs } from "./fake-cluster.ts";

export class FakeOutput implements Output {
  readonly isTerminal: boolean;
  readonly writes: string[] = [];
  /** When set, writes fail with this code. */
  broken: string | undefined;
  readonly #size: { readonly columns: number; readonly rows: number };

  constructor(how: { readonly isTerminal?: boolean; readonly rows?: number; readonly columns?: number } = {}) {
    this.isTerminal = how.isTerminal ?? false;
    this.#size = { columns: how.columns ?? 100, rows: how.rows ?? 24 };
  }

  get text(): string {
    return this.writes.join("");
  }

  size(): { readonly columns: number; readonly rows: number } | undefined {
    return this.isTerminal ? this.#size : undefined;
  }

  async write(text: string): Promise<void> {
    if (this.broken !== undefined) throw new Problem(this.broken, "Cannot write");
    this.writes.push(text);
  }
}

export interface FakeTools extends Tools {
  readonly stdout: FakeOutput;
  readonly stderr: FakeOutput;
  readonly clock: FakeClock;
  /** As Ctrl-C. */
  interrupt(): void;
  readonly agents: AgentRequest[];
  readonly playgrounds: PlaygroundRequest[];
}

export function fakeTools(more: Partial<Tools> & { readonly stdout?: FakeOutput } = {}): FakeTools {
  const over = new AbortController();
  const agents: AgentRequest[] = [];
  const playgrounds: PlaygroundRequest[] = [];
  return {
    version: "1.2.3",
    env: {},
    signal: over.signal,
    apiClient: async (reach) => createApiClient(reach),
    hasSocket: async () => false,
    machineShell: () => Promise.reject(new Error("This test has no machines")),
    forward: () => Promise.reject(new Error("This test has no pipes")),
    workingCopy: () => Promise.reject(new Error("This test has no working copy")),
    planSources: () => Promise.reject(new Error("This test has no commits")),
    localUnits: () => Promise.reject(new Error("This test has no unit files")),
    discovery: () => Promise.reject(new Error("This test has no discovery")),
    firstBoot: () => Promise.reject(new Error("This test has no first boot")),
    runAgent: async (request) => {
      agents.push(request);
    },
    runPlayground: async (request) => {
      playgrounds.push(request);
      return 0;
    },
    ...more,
    stdout: more.stdout ?? new FakeOutput(),
    stderr: new FakeOutput(),
    clock: new FakeClock({ wallMs: sampleNowMs }),
    interrupt: () => over.abort(),
    agents,
    playgrounds,
  };
}
