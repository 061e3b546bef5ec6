// Hands for tests of the API and the commands: what was asked of them is kept, and they answer what the test says.
import { type UnitName, parseUnitName } from "../../agent/domain/names.ts";
import type { Hold, Person } from "../../agent/domain/submitted.ts";
import type {
  Hands,
  MaintenanceRequest,
  MaintenanceResult,
  MetadataChange,
  Submission,
  TargetRequest,
  TargetResult,
} from "../../agent/ports/hands.ts";
import { sampleNowMs } from "./fake-cluster.ts";

/** One call, with what was given; signals are left out. */
export type Asked =
  | { readonly call: "submit"; readonly given: Submission }
  | { readonly call: "setTarget"; readonly given: TargetRequest }
  | { readonly call: "destroy" | "restart"; readonly given: { readonly name: UnitName; readonly by: Person } }
  | { readonly call: "hold"; readonly given: Omit<TargetRequest, "name"> & { readonly patterns: readonly string[] } }
  | { readonly call: "resume"; readonly given: { readonly patterns: readonly string[]; readonly by: Person } }
  | { readonly call: "maintain"; readonly given: MaintenanceRequest }
  | {
      readonly call: "changeMetadata";
      readonly given: { readonly changes: readonly MetadataChange[]; readonly by: Person };
    };

export class FakeHands implements Hands {
  readonly asked: Asked[] = [];
  /** When set, every call rejects with it. */
  failure: Error | undefined;
  submits: "created" | "replaced" | "unchanged" = "created";
  targets: TargetResult = { outcome: "held", before: "launched", target: "loaded" };
  restartId = "restart-1";
  maintains: MaintenanceResult = { outcome: "cordoned" };

  async submit(given: Submission): Promise<"created" | "replaced" | "unchanged"> {
    this.#note({ call: "submit", given });
    return this.submits;
  }

  async setTarget(given: TargetRequest): Promise<TargetResult> {
    this.#note({ call: "setTarget", given });
    return this.targets;
  }

  async destroy(name: UnitName, by: Person): Promise<void> {
    this.#note({ call: "destroy", given: { name, by } });
  }

  async restart(name: UnitName, by: Person): Promise<string> {
    this.#note({ call: "restart", given: { name, by } });
    return this.restartId;
  }

  /** A hold for each pattern that is a whole name. */
  async hold(given: Omit<TargetRequest, "name"> & { readonly patterns: readonly string[] }): Promise<readonly Hold[]> {
    this.#note({ call: "hold", given });
    const { target, by, why, forMs } = given;
    return wholeNames(given.patterns).map((unit) => ({
      unit,
      target,
      by,
      atMs: sampleNowMs,
      ...(why === undefined ? {} : { why }),
      ...(forMs === undefined ? {} : { untilMs: sampleNowMs + forMs }),
    }));
  }

  async resume(patterns: readonly string[], by: Person): Promise<readonly UnitName[]> {
    this.#note({ call: "resume", given: { patterns, by } });
    return wholeNames(patterns);
  }

  async changeMetadata(changes: readonly MetadataChange[], by: Person): Promise<void> {
    this.#note({ call: "changeMetadata", given: { changes, by } });
  }

  async maintain(given: MaintenanceRequest): Promise<MaintenanceResult> {
    this.#note({ call: "maintain", given });
    return this.maintains;
  }

  #note(asked: Asked): void {
    this.asked.push(asked);
    if (this.failure !== undefined) throw this.failure;
  }
}

function wholeNames(patterns: readonly string[]): readonly UnitName[] {
  return patterns.flatMap((pattern) => {
    const name = parseUnitName(pattern);
    return name.ok ? [name.value] : [];
  });
}
