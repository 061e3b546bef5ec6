// What an earlier boot made and the document no longer has. What flotilla made in full is taken away again; what belongs to
// the operator (accounts, files of write_files, what was there before or was changed since) is only named. Nothing is ever
// concluded from a document that is not there.
import type { BootRecord, RecordedStep, SetupFacts, Stage, Step } from "../domain/first-boot.ts";
import type { InstanceMetadata } from "../domain/user-data.ts";
import { keySet, unlessShutOut } from "./accounts.ts";
import { type Draft, base, tell } from "./draft.ts";
import { blockName } from "./names.ts";
import { isSilent } from "./record.ts";

/** Something that is in the record and no longer in the document. */
export interface Left {
  readonly id: string;
  readonly path?: string;
  /** The plan takes it away; else it stays, and is named for whoever wants it gone. */
  readonly isRemoved: boolean;
}

export interface LeftPlan {
  readonly left: readonly Left[];
  readonly steps: readonly Step[];
  /** Of each of these steps the id in the record that it ends. */
  readonly gone: ReadonlyMap<string, string>;
  /** Ids of the record that are another program's affair in this mode, and stay in it. */
  readonly kept: readonly string[];
}

/** Beginnings of ids whose files are ours in full, where a boot made them and nobody else since. */
const owned = /^(unit-file |drop-in |mask |sudoers |own |settings$|script )/;
/** What is ours also beside cloud-init. */
const besides =
  /^(unit-file |drop-in |mask |enable |own etcd|own secret|own flannel|settings$|environment$|update |oem )/;
/** Worth naming when it stays. */
const named = /^(file |append |user |group |swap$|hosts$|timezone|locale$|keyboard$|host key |block )/;

/** Paths of the record that could have to go: what stands there now has to be known for it. */
export function madePaths(record: BootRecord | undefined): readonly string[] {
  return Object.entries(record?.steps ?? {}).flatMap(([id, { paths }]) => (owned.test(id) ? paths : []));
}

export interface LeftGiven {
  readonly planned: readonly Step[];
  /** The document was there and was read: what it does not have is not wanted. */
  readonly isWhole: boolean;
  readonly mode: "alone" | "beside-cloud-init";
  readonly facts: SetupFacts;
  readonly metadata: InstanceMetadata;
  readonly draft: Draft;
}

export function planLeft(
  record: BootRecord | undefined,
  { planned, isWhole, mode, facts, metadata, draft }: LeftGiven,
): LeftPlan {
  const ids = new Set(planned.map(({ id }) => id));
  const paths = new Set(
    planned.flatMap((step) => (step.kind === "file" ? [step.file.path] : "path" in step ? [step.path] : [])),
  );
  const left: Left[] = [];
  const steps: Step[] = [];
  const gone = new Map<string, string>();
  const kept: string[] = [];
  for (const [id, before] of Object.entries(record?.steps ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (ids.has(id)) continue;
    const isUnheard = before.isProvided === true && isSilent(metadata);
    if (!isWhole || isUnheard || (mode === "beside-cloud-init" && !besides.test(id))) {
      kept.push(id);
      continue;
    }
    const [path] = before.paths;
    if (path !== undefined && paths.has(path)) continue;
    const undone = undo(id, before, facts);
    if (undone !== undefined) {
      steps.push(
        undone.stage === "reach"
          ? { ...undone, ...unlessShutOut(planned.filter(({ stage }) => stage === "reach")) }
          : undone,
      );
      gone.set(undone.id, id);
    }
    const isForeign = undone === undefined && owned.test(id) && path !== undefined;
    if (isForeign) tellForeign(path, before, draft);
    if (undone !== undefined || isForeign || named.test(id))
      left.push({ id, ...(path === undefined ? {} : { path }), isRemoved: undone !== undefined });
  }
  return { left, steps, gone, kept };
}

function tellForeign(path: string, { made }: RecordedStep, draft: Draft): void {
  tell(draft, "warning", {
    code: "boot-left",
    message: `Leaving ${path}, which the document no longer has: ${made === undefined ? "it was there before" : "it was changed since it was written"}`,
    hint: "Remove it by hand if nobody needs it",
  });
}

/** Undefined: it is not for us to undo. */
function undo(id: string, before: RecordedStep, facts: SetupFacts): Step | undefined {
  const first = (stage: Stage): ReturnType<typeof base> => base(`gone ${id}`, { stage });
  const [path] = before.paths;
  const { made } = before;
  if (owned.test(id) && path !== undefined) {
    if (before.kind === "link")
      return made === undefined ? undefined : { ...first(before.stage), kind: "unmask", path };
    const content = contentOf(path, before, facts);
    return content === undefined ? undefined : { ...first(before.stage), kind: "remove", path, content };
  }
  if (before.kind === "block" && path !== undefined)
    return { ...first(before.stage), kind: "block", path, name: blockName, lines: [] };
  const user = /^keys (.+)$/.exec(id)?.[1];
  if (user !== undefined) return { ...first("reach"), kind: "authorized-keys", user, set: keySet, keys: [] };
  const unit = /^enable (\S+)$/.exec(id)?.[1];
  if (unit !== undefined && made !== undefined)
    return { ...first("units"), kind: "enable", unit, runtime: false, enabled: false };
  return undefined;
}

/**
 * What a file must hold to be removed: what a boot wrote. Undefined: it holds something else, or it was there already. A run
 * that was cut short does not know what it wrote; what says that a boot made it is ours then.
 */
function contentOf(path: string, { made }: RecordedStep, { paths, ours, contents }: SetupFacts): string | undefined {
  if (made === undefined) return ours.has(path) ? contents.get(path) : undefined;
  return paths.has(path) && contents.get(path) !== made ? undefined : made;
}
