// write_files: what the document writes where. Files are made at each boot as the document says; what is appended is
// appended once for an instance.
import type { FileEntry } from "../domain/user-data.ts";
import { type Draft, type Given, base, tell } from "./draft.ts";

export function planFiles({ config }: Given, draft: Draft): void {
  const last = new Map<string, FileEntry>();
  for (const entry of config.writeFiles) if (!entry.append) last.set(entry.path, entry);
  const appended = new Map<string, number>();
  for (const entry of config.writeFiles) {
    if (entry.append) {
      const count = (appended.get(entry.path) ?? 0) + 1;
      appended.set(entry.path, count);
      writeFile(entry, count === 1 ? `append ${entry.path}` : `append ${entry.path} (${count})`, draft);
    } else if (last.get(entry.path) === entry) writeFile(entry, `file ${entry.path}`, draft);
    else
      tell(draft, "warning", {
        code: "boot-file-twice",
        message: `Leaving out the first of two texts for ${entry.path}`,
        hint: "The later one is written; with append: true both would be",
        at: entry.at,
      });
  }
}

function writeFile(entry: FileEntry, id: string, draft: Draft): void {
  const { path, content, mode = 0o644, owner = "root", group, append, defer, at } = entry;
  draft.steps.push({
    ...base(id, { stage: defer ? "late" : "files", at, frequency: append ? "once-per-instance" : "converge" }),
    kind: "file",
    file: {
      path,
      content,
      mode,
      owner,
      group: group ?? (owner === "root" || owner === "0" ? "root" : owner),
      append,
      isSecret: (mode & 0o004) === 0,
    },
  });
}
