// Folders and commits of units that lie nowhere, for commands that read them: by name, each with its files by path. A text
// "-> TARGET" is a link. States in files, too.
import type { Tools } from "../../agent/cli/tools.ts";
import type { CommitId } from "../../agent/domain/names.ts";
import { Problem } from "../../agent/domain/problem.ts";
import type { TreeEntry } from "../../agent/ports/git.ts";
import type { WorkingTree } from "../../agent/ports/working-copy.ts";

export type UnitFiles = Readonly<Record<string, string>>;

export interface FakeUnits {
  readonly folders?: Readonly<Record<string, UnitFiles>>;
  readonly commits?: Readonly<Record<string, UnitFiles>>;
  readonly states?: Readonly<Record<string, string>>;
}

/** What commands are given of them. One that ends in ".service" is a file and no folder. */
export function fakeUnits({
  folders = {},
  commits = {},
  states = {},
}: FakeUnits): Pick<Tools, "workingCopy" | "planSources"> {
  return {
    workingCopy: async () => ({
      tree: async (path): Promise<WorkingTree> => {
        const files = folders[path];
        if (files === undefined) throw new Problem("working-copy-read", `Cannot read "${path}"`);
        const kind = isFile(path) ? "file" : "folder";
        return { kind, entries: entriesOf(files), asked: undefined, read: async (oid) => blobOf(files, oid) };
      },
      analyze: () => Promise.reject(new Error("These units are for nobody's systemd")),
    }),
    planSources: async () => ({
      isFolder: async (path) => folders[path] !== undefined && !isFile(path),
      commit: async (name) => {
        const files = commits[name];
        if (files === undefined) return undefined;
        return {
          commit: "a1b2c3d4".repeat(5) as CommitId,
          subject: "Change | everything",
          entries: entriesOf(files),
          read: async (oids) => new Map(oids.map((oid) => [oid, blobOf(files, oid)])),
        };
      },
      state: async (path) => {
        const state = states[path];
        if (state === undefined) throw new Problem("state-read", `Cannot read "${path}"`);
        return state;
      },
    }),
  };
}

function isFile(path: string): boolean {
  return path.endsWith(".service");
}

const linkMark = "-> ";

function entriesOf(files: UnitFiles): readonly TreeEntry[] {
  return Object.entries(files)
    .map(([path, text]): TreeEntry => ({ path, kind: text.startsWith(linkMark) ? "link" : "file", oid: path }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

function blobOf(files: UnitFiles, oid: string): Uint8Array {
  const text = files[oid] ?? "";
  return new TextEncoder().encode(text.startsWith(linkMark) ? text.slice(linkMark.length) : text);
}
