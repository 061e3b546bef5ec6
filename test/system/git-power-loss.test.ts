// The store of git when power is lost at any moment of a fetch, or of its replacement: the commit that was noted last can be
// read without the repository. And when all of it is damaged, a fetch makes it whole again.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { parseLocation } from "../../agent/adapters/git/location.ts";
import { fileCalls } from "../../agent/adapters/durable-files.ts";
import { readHead, writeHead } from "../../agent/adapters/git/record.ts";
import { Store } from "../../agent/adapters/git/store.ts";
import { type Access, pickEnvironment } from "../../agent/adapters/git/transport.ts";
import type { CommitId } from "../../agent/domain/names.ts";
import { type Disk, Recorder, withDisk } from "../fakes/power-loss.ts";
import { TestRepository, discard, scratch } from "./git-world.ts";

const branch = "main";
const signal = new AbortController().signal;

describe("the store of git after power loss", () => {
  let folder: string;
  let repository: TestRepository;
  let access: Access;

  before(async () => {
    folder = await scratch();
    repository = await TestRepository.make(join(folder, "repository"));
    const location = parseLocation(repository.path);
    assert.ok(location.ok);
    const nothing = { username: undefined, password: undefined, caFile: undefined };
    access = {
      ...nothing,
      location: location.value,
      sshKeyFile: undefined,
      knownHostsFile: undefined,
      environment: pickEnvironment(process.env),
    };
  });
  after(() => discard(folder));

  const text = (round: number): string => `[Service]\nExecStart=/bin/sleep ${round}\n`;

  /** As git.ts does it: the head is noted only after the commit was found whole. */
  async function bring(
    { root, calls }: Pick<Recorder, "root" | "calls">,
    how: { readonly expected: CommitId; readonly known: CommitId | undefined; readonly anew?: boolean },
  ): Promise<void> {
    const store = new Store({ directory: root, folder: "units", calls });
    const { commit } = await store.bring({ access, branch, anew: false, ...how }, signal);
    assert.equal(commit, how.expected);
    const record = { commit, repository: access.location.shown, branch };
    if (commit !== how.known) await writeHead(join(root, "store.head"), record, calls);
  }

  /** The text of the unit in the commit that was noted last, from the store alone; undefined where none was noted, or "no store". */
  async function unitAt(root: string): Promise<string | undefined> {
    const head = await readHead(join(root, "store.head"));
    if (head === undefined) return undefined;
    const store = new Store({ directory: root, folder: "units" });
    if (!(await store.has(head.commit))) return "no store";
    const entry = (await store.tree(head.commit)).find(({ path }) => path === "units/web.service");
    return Buffer.from(await store.blob(entry?.oid ?? "")).toString();
  }

  test("what was noted can be read at every moment of fetches and of a replacement", async (t) => {
    const root = join(folder, "recorded");
    await mkdir(root);
    const recorder = new Recorder(root);
    let known: CommitId | undefined;
    let disks = 0;
    const seen = new Set<string>();
    for (const [round, anew] of [false, false, true].entries()) {
      const from = recorder.moment;
      const expected = await repository.commit({ "units/web.service": text(round), "README.md": `${round}` });
      await bring(recorder, { expected, known, anew });
      known = expected;
      const before = round === 0 ? undefined : text(round - 1);
      for (let moment = from; moment <= recorder.moment; moment++) {
        const allowed = moment === recorder.moment ? [text(round)] : [before, text(round)];
        for (const disk of fewer(recorder.disks(moment), seen)) {
          disks++;
          const found = await withDisk(disk, async (place) => {
            const read = await unitAt(place);
            if (read !== "no store") return read;
            // Between the two renames of a replacement there is none: then only the repository has it
            assert.ok(anew, `No store after change ${moment}`);
            await bring({ root: place, calls: fileCalls }, { expected, known, anew: false });
            return await unitAt(place);
          });
          assert.ok(allowed.includes(found), `${String(found)} after change ${moment}`);
        }
      }
    }
    t.diagnostic(`${disks} disks`);
    assert.ok(disks > 200, `${disks} disks`);
  });

  /** Of files that are cut off a few lengths will do here; and no disk twice. */
  function* fewer(disks: readonly Disk[], seen: Set<string>): Iterable<Disk> {
    for (const disk of disks) {
      const key = [...disk].map(
        ([path, bytes]) => `${path} ${bytes === undefined ? "/" : `${bytes.length} ${bytes[0] ?? ""}`}`,
      );
      if (seen.has(key.join("\n"))) continue;
      seen.add(key.join("\n"));
      yield disk;
    }
  }
});
