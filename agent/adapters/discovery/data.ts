// etcd's own data folder, as far as discovery looks into it.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Problem } from "../../domain/problem.ts";
import type { EtcdData } from "../../ports/discovery.ts";

/** `directory`: etcd's data-dir. What etcd leaves of a start that came to nothing (empty folders) is no log. */
export function createEtcdData(directory: string): EtcdData {
  return {
    hasLog: async () => {
      const folder = join(directory, "member", "wal");
      try {
        return (await readdir(folder)).some((name) => name.endsWith(".wal"));
      } catch (error) {
        const { code } = error as { readonly code?: unknown };
        if (code === "ENOENT") return false;
        throw new Problem("disk-read", `Cannot look for etcd's data in "${folder}"`, {
          hint: "Check [Etcd] DataDirectory= and the rights of that folder",
          cause: error,
        });
      }
    },
  };
}
