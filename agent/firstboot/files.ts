// write_files: what the document writes where. Files are made at each boot as the document says, with all that it appends
// to them; what is appended to a file that it does not write itself is appended once for an instance.
import type { FileEntry } from "../domain/user-data.ts";
import { type Draft, type Given, base, tell } from "./draft.ts";

/** As for the content of a single entry that comes packed. */
const maxFileBytes = 16 * 1024 * 1024;

export function planFiles({ config }: Given, draft: Draft): void {
  const byPath = new Map<string, FileEntry[]>();
  for (const entry of config.writeFiles) byPath.set(entry.path, [...(byPath.get(entry.path) ?? []), entry]);
  for (const [path, entries] of byPath) {
    const last = entries.findLastIndex(({ append }) => !append);
    for (const entry of entries.slice(0, Math.max(last, 0))) tellReplaced(entry, draft);
    const [first, ...more] = entries.slice(Math.max(last, 0));
    if (last >= 0 && first !== undefined) planFile(`file ${path}`, { first, more }, draft);
    else
      for (const [index, entry] of entries.entries())
        planFile(index === 0 ? `append ${path}` : `append ${path} (${index + 1})`, { first: entry, more: [] }, draft);
  }
}

function tellReplaced({ path, append, at }: FileEntry, draft: Draft): void {
  tell(draft, "warning", {
    code: "boot-file-twice",
    message: append
      ? `Leaving out what is appended to ${path} before its text`
      : `Leaving out the first of two texts for ${path}`,
    hint: append ? "Put it behind the text" : "The later one is written; with append: true both would be",
    at,
  });
}

/** Mode and owner are those of the first entry: appending to a file leaves them. */
function planFile(
  id: string,
  { first, more }: { readonly first: FileEntry; readonly more: readonly FileEntry[] },
  draft: Draft,
): void {
  const { path, mode = 0o644, owner = "root", group, append, defer, at } = first;
  const entries = [first, ...more];
  const sizeBytes = entries.reduce((sum, { content }) => sum + content.length, 0);
  if (more.length > 0 && sizeBytes > maxFileBytes) {
    tell(draft, "error", {
      code: "boot-file-size",
      message: `Cannot write ${path}: with all that is appended it has ${sizeBytes} bytes`,
      hint: `${maxFileBytes} are the most; have a command in runcmd fetch what is large`,
      at,
    });
    return;
  }
  draft.steps.push({
    ...base(id, { stage: defer ? "late" : "files", at, frequency: append ? "once-per-instance" : "converge" }),
    kind: "file",
    file: {
      path,
      content: joined(entries, sizeBytes),
      mode,
      owner,
      group: group ?? (owner === "root" || owner === "0" ? "root" : owner),
      append,
      // One part that not everybody may read is shown to nobody, whatever the file's mode
      isSecret: entries.some((entry) => ((entry.mode ?? 0o644) & 0o004) === 0),
    },
  });
}

function joined(entries: readonly FileEntry[], sizeBytes: number): Uint8Array {
  const whole = new Uint8Array(sizeBytes);
  let at = 0;
  for (const { content } of entries) {
    whole.set(content, at);
    at += content.length;
  }
  return whole;
}
