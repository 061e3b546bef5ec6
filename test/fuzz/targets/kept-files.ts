// Files that the agent keeps for itself, damaged: the manifest, unit texts, the embedded registry, notes of launches and
// units as they lie here. Whatever is in them, the agent starts.
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadState, saveState } from "../../../agent/adapters/registry/store-file.ts";
import { UnitFiles } from "../../../agent/adapters/systemd/unit-files.ts";
import { JoinFiles } from "../../../agent/bootstrap/join-files.ts";
import { parseMachineId } from "../../../agent/domain/names.ts";
import type { Problem } from "../../../agent/domain/problem.ts";
import { KeptTexts } from "../../../agent/loops/kept-texts.ts";
import { OwnManifest } from "../../../agent/loops/own-manifest.ts";
import { Troubles } from "../../../agent/loops/troubles.ts";
import { MemoryDisk } from "../../fakes/memory-disk.ts";
import { MemoryLog } from "../../fakes/memory-log.ts";
import { type Target, mustHold, problemsOf, reasons, textOf } from "../target.ts";

const me = (() => {
  const parsed = parseMachineId("0123456789abcdef0123456789abcdef");
  mustHold(parsed.ok, "a machine's id");
  return parsed.value;
})();

/** What lies on a disk for real, because its reader is given no port. */
const folder = mkdtempSync(join(tmpdir(), "flotilla-fuzz-"));
const [runDirectory, unitDirectory] = [join(folder, "run"), join(folder, "systemd")];
for (const name of ["units", "launched", "enabled"]) mkdirSync(join(runDirectory, name), { recursive: true });
mkdirSync(unitDirectory);

/** `=== NAME` begins a file. A registry.db gets the checksum that its text has: what is behind it is reached so. */
function filesIn(text: string): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const part of text.split(/^=== /m).slice(1)) {
    const end = part.indexOf("\n");
    files.set(end < 0 ? part : part.slice(0, end), end < 0 ? "" : part.slice(end + 1));
  }
  return files;
}

export const target: Target = {
  name: "kept-files",
  reads: "files that the agent keeps",
  maxBytes: 128 * 1024,
  words: [
    ...[
      "=== manifest.json\n",
      "=== unit-texts\n",
      "=== registry.db\n",
      "=== launched\n",
      "=== unit\n",
      "=== etcd-endpoints.json\n",
    ],
    ...[
      '{"dropIns":[],"names":["web.service"],"source":"submitted","text":"',
      "flotilla-registry-1 ",
      '"ceiling":',
      '"entries":[',
      '["leader","{}",1,1]',
      "a".repeat(40),
      " r1\n",
    ],
    ...['"machine":"0123456789abcdef0123456789abcdef"', '"units":[]', "[Install]\nAlias=", "[Service]\n", "null", "{}"],
  ],
  async run(input) {
    const files = filesIn(textOf(input));
    const disk = new MemoryDisk();
    for (const [name, text] of files) disk.files.set(name, text);
    const log = new MemoryLog();
    const problems: Problem[] = [];
    let outcome = "";
    const attempt = async (what: string, work: () => Promise<boolean>): Promise<void> => {
      try {
        outcome += (await work()) ? ` ${what}` : "";
      } catch (error) {
        problems.push(...problemsOf(error));
      }
    };
    const own = new OwnManifest({ me, disk, log, troubles: new Troubles() });
    await attempt("manifest", async () => {
      await own.accept();
      mustHold(
        own.current !== undefined || !files.has("manifest.json") || log.lines.length > 0,
        "a word on a manifest",
      );
      return own.current !== undefined;
    });
    const entries = own.current?.units ?? [];
    await attempt("texts", async () => {
      const kept = new KeptTexts({ disk, log });
      await kept.load();
      return entries.some((entry) => kept.find(entry) !== undefined);
    });
    await attempt("endpoints", async () => (await new JoinFiles(disk).learned()) !== undefined);
    await attempt("registry", async () => readRegistry(disk));
    await attempt("lying", async () => {
      writeFileSync(join(runDirectory, "units", "web.service"), files.get("unit") ?? "");
      writeFileSync(join(runDirectory, "launched", "web.service"), files.get("launched") ?? "");
      const [unit] = new UnitFiles({ unitDirectory, runDirectory, log }).placed();
      return unit?.launched !== undefined;
    });
    // What the agent leaves aside without ending it says why, in its log
    for (const { level, event, error } of log.lines) {
      if (level === "error") problems.push(...reasons(error === undefined ? [] : problemsOf(error)));
      else outcome += ` ${event}`;
    }
    return { outcome, problems };
  },
  async close() {
    rmSync(folder, { recursive: true, force: true });
  },
};

async function readRegistry(disk: MemoryDisk): Promise<boolean> {
  const text = disk.files.get("registry.db");
  if (text === undefined) return false;
  const [head = "", ...rest] = text.split("\n");
  const body = rest[0] ?? "";
  const sum = createHash("sha256").update(body).digest("hex");
  disk.files.set("registry.db", `${head.split(" ")[0] ?? ""} ${sum}\n${rest.join("\n")}`);
  const state = await loadState(disk);
  mustHold(state !== undefined, "a state where there is a file");
  await saveState(disk, state);
  const again = await loadState(disk);
  mustHold(JSON.stringify(again) === JSON.stringify(state), "what was saved is loaded the same");
  return true;
}
