// All targets by name. Each is loaded by the thread that runs it: one reader more costs the others nothing.
import type { Target } from "./target.ts";

type Loaded = Promise<{ readonly target: Target }>;

const targets: Readonly<Record<string, () => Loaded>> = {
  "unit-file": () => import("./targets/unit-file.ts"),
  "unit-options": () => import("./targets/unit-options.ts"),
  commit: () => import("./targets/commit.ts"),
  "user-data": () => import("./targets/user-data.ts"),
  settings: () => import("./targets/settings.ts"),
  registry: () => import("./targets/registry.ts"),
  documents: () => import("./targets/documents.ts"),
  "kept-files": () => import("./targets/kept-files.ts"),
  "git-tree": () => import("./targets/git-tree.ts"),
  "git-poll": () => import("./targets/git-poll.ts"),
  "git-store": () => import("./targets/git-store.ts"),
  "dbus-replies": () => import("./targets/dbus-replies.ts"),
  "dbus-bytes": () => import("./targets/dbus-bytes.ts"),
  "etcd-replies": () => import("./targets/etcd-replies.ts"),
  discovery: () => import("./targets/discovery.ts"),
  "discovery-service": () => import("./targets/discovery-service.ts"),
  host: () => import("./targets/host.ts"),
  api: () => import("./targets/api.ts"),
  "api-socket": () => import("./targets/api-socket.ts"),
  "api-answers": () => import("./targets/api-answers.ts"),
  "command-line": () => import("./targets/command-line.ts"),
};

/** For the engine's own tests only. */
const planted = "planted";

export const targetNames: readonly string[] = Object.keys(targets);

export async function loadTarget(name: string): Promise<Target> {
  const load = Object.hasOwn(targets, name) ? targets[name] : undefined;
  if (name === planted) return (await import("./targets/planted.ts")).target;
  if (load === undefined) throw new Error(`There is no target "${name}"`);
  const { target } = await load();
  if (target.name !== name) throw new Error(`Target "${name}" calls itself "${target.name}"`);
  return target;
}
