// What the leader clears away in the registry: submitted units whose names the repository has taken, holds and machines'
// rests whose time is over, events beyond those that are kept. Given to engine.ts, which carries it out; decides only.
import { type MachineSettings, longestRestMs } from "../domain/machine.ts";
import type { CommitId, UnitName } from "../domain/names.ts";
import { type ClusterEvent, type Hold, maxEvents, maxEventsTogether } from "../domain/submitted.ts";
import type { Guard, Write } from "../ports/registry.ts";
import { encodeEvent, keys } from "../text/values.ts";
import { writeSettings } from "./machine-settings.ts";
import type { RegistryPicture } from "./picture.ts";

export interface Tidying {
  readonly picture: RegistryPicture;
  /** Whether the adopted commit has a unit or template of this name. */
  readonly isGits: (name: UnitName) => boolean;
  readonly commit: CommitId | undefined;
  /** Hostname of the leader. */
  readonly by: string;
  readonly nowMs: number;
  /** Unlike that of any other writer of events. */
  readonly nonce: string;
}

/** One transaction, without the leader's own fence. */
export interface TidyBatch {
  readonly guards: readonly Guard[];
  readonly writes: readonly Write[];
  readonly said: readonly ClusterEvent[];
}

/** Events removed at once, and beyond `maxEvents` before any is: so that not every new one costs a write. */
const eventSlack = 50;
/** Holds that are lifted in one step: a guard and a write each, and events beside them. */
const holdsAtOnce = 40;

export function tidyUp(given: Tidying): { readonly batches: readonly TidyBatch[]; readonly dueMs: number } {
  const { picture, isGits, commit, by, nowMs, nonce } = given;
  const batches: TidyBatch[] = [];
  const drop = (key: string, event: Omit<ClusterEvent, "atMs" | "by">): void => {
    const revision = picture.modified.get(key);
    if (revision === undefined) return;
    const whole: ClusterEvent = { ...event, atMs: nowMs, by };
    const told = keys.event(nowMs, `${nonce}-${batches.length}`);
    batches.push({
      guards: [{ kind: "modified", key, revision }],
      writes: [
        { kind: "delete", key },
        { kind: "put", key: told, value: encodeEvent(whole) },
      ],
      said: [whole],
    });
  };
  for (const name of picture.submitted.keys()) {
    if (!isGits(name)) continue;
    drop(keys.unit(name), {
      kind: "unit-taken-over",
      unit: name,
      ...(commit === undefined ? {} : { commit }),
      message: `The repository now has ${name}: what was submitted by hand gives way`,
    });
  }
  let dueMs = Infinity;
  const over: Hold[] = [];
  for (const hold of picture.holds.values()) {
    const leftMs = (hold.untilMs ?? Infinity) - nowMs;
    if (leftMs <= 0) over.push(hold);
    else dueMs = Math.min(dueMs, leftMs);
  }
  if (over.length <= maxEventsTogether) {
    for (const { unit, by: holder } of over) {
      const message = `The hold of ${holder} on ${unit} has run out`;
      drop(keys.hold(unit), { kind: "unit-resumed", unit, message });
    }
  } else batches.push(...liftMany(over, given));
  for (const [machine, settings] of picture.settings) {
    const { rests, ...others } = settings;
    if (rests === undefined) continue;
    const leftMs = rests.untilMs - nowMs;
    // Of a leader whose clock was ahead by more than any rest lasts it is not known when it was to end
    if (leftMs > 0 && leftMs <= longestRestMs) dueMs = Math.min(dueMs, leftMs);
    else batches.push(endRest(others, picture.modified.get(keys.settingsOf(machine)) ?? 0));
  }
  // Of those that can be read; the others go with them
  if (picture.events.length > maxEvents + eventSlack) {
    const old = oldEvents(picture);
    batches.push({ guards: [], writes: old.map((key) => ({ kind: "delete", key })), said: [] });
  }
  return { batches, dueMs };
}

/** What else is said of the machine stays; an operator who has said something since is heard first. */
function endRest(settings: MachineSettings, revision: number): TidyBatch {
  const guards: readonly Guard[] = [{ kind: "modified", key: keys.settingsOf(settings.machine), revision }];
  return { guards, writes: [writeSettings(settings)], said: [] };
}

/** So that ten thousand holds that end at once do not keep the engine from everything else. */
function liftMany(over: readonly Hold[], { picture, by, nowMs, nonce }: Tidying): readonly TidyBatch[] {
  const batches: TidyBatch[] = [];
  for (let from = 0; from < over.length; from += holdsAtOnce) {
    const due = over.slice(from, from + holdsAtOnce).flatMap(({ unit }) => {
      const key = keys.hold(unit);
      const revision = picture.modified.get(key);
      return revision === undefined ? [] : [{ key, revision }];
    });
    const message = `Holds on ${due.length} units have run out`;
    const event: ClusterEvent = { kind: "unit-resumed", atMs: nowMs, by, message };
    batches.push({
      guards: due.map((each) => ({ kind: "modified", ...each })),
      writes: [
        ...due.map(({ key }): Write => ({ kind: "delete", key })),
        { kind: "put", key: keys.event(nowMs, `${nonce}-many-${from}`), value: encodeEvent(event) },
      ],
      said: [event],
    });
  }
  return batches;
}

/** Keys of the events that were told first, as many as one transaction takes away. */
function oldEvents({ modified }: RegistryPicture): readonly string[] {
  const all = [...modified].filter(([key]) => key.startsWith(keys.events));
  return all
    .sort(([, a], [, b]) => a - b)
    .slice(0, eventSlack)
    .map(([key]) => key);
}
