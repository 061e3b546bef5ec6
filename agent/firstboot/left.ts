// What an earlier boot made and the document no longer has. What flotilla made in full is taken away again; what belongs to
// the operator (accounts, files of write_files) is only named. Nothing is ever concluded from a document that is not there.
import type { BootRecord, RecordedStep, Stage, Step } from "../domain/first-boot.ts";
import { keySet } from "./accounts.ts";
import { base } from "./draft.ts";
import { blockName } from "./names.ts";

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

/** Beginnings of ids whose files are ours in full. */
const owned = /^(unit-file |drop-in |mask |sudoers |own |settings$|script )/;
/** What is ours also beside cloud-init. */
const besides =
  /^(unit-file |drop-in |mask |enable |own etcd|own secret|own flannel|settings$|environment$|update |oem )/;
/** Worth naming when it stays. */
const named = /^(file |append |user |group |swap$|hosts$|timezone|locale$|keyboard$|host key |block )/;

export function planLeft(
  record: BootRecord | undefined,
  {
    planned,
    isWhole,
    mode,
  }: {
    readonly planned: readonly Step[];
    /** The document was there and was read: what it does not have is not wanted. */
    readonly isWhole: boolean;
    readonly mode: "alone" | "beside-cloud-init";
  },
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
    if (!isWhole || (mode === "beside-cloud-init" && !besides.test(id))) {
      kept.push(id);
      continue;
    }
    const [path] = before.paths;
    const undone = path !== undefined && paths.has(path) ? undefined : undo(id, before);
    if (undone !== undefined) {
      steps.push(undone);
      gone.set(undone.id, id);
    }
    if (undone !== undefined || (named.test(id) && !(path !== undefined && paths.has(path))))
      left.push({ id, ...(path === undefined ? {} : { path }), isRemoved: undone !== undefined });
  }
  return { left, steps, gone, kept };
}

function undo(id: string, before: RecordedStep): Step | undefined {
  const first = (stage: Stage): ReturnType<typeof base> => base(`gone ${id}`, { stage });
  const [path] = before.paths;
  if (owned.test(id) && path !== undefined) return { ...first(before.stage), kind: "remove", path };
  if (before.kind === "block" && path !== undefined)
    return { ...first(before.stage), kind: "block", path, name: blockName, lines: [] };
  const user = /^keys (.+)$/.exec(id)?.[1];
  if (user !== undefined) return { ...first("reach"), kind: "authorized-keys", user, set: keySet, keys: [] };
  const unit = /^enable (\S+)$/.exec(id)?.[1];
  if (unit !== undefined) return { ...first("units"), kind: "enable", unit, runtime: false, enabled: false };
  return undefined;
}
