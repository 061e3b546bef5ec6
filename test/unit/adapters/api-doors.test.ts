import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, suite, test } from "node:test";
import { openDoors } from "../../../agent/adapters/api-doors.ts";
import { silentLog } from "../../fakes/silent-log.ts";

const idle = { handle: async () => new Response(), endStreams: () => undefined };
const ownGroup = process.getegid?.() ?? 0;

/** Mode and group of the unix socket. */
async function opened(
  context: TestContext,
  how: { readonly group?: string; readonly scope: "system" | "user" },
): Promise<readonly [mode: number, gid: number]> {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-doors-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const socket = join(folder, "s");
  const api = { listen: [], group: how.group, token: undefined, tls: undefined };
  const doors = await openDoors(idle, { socket, api, scope: how.scope, inherited: [], log: silentLog });
  context.after(() => doors.close());
  for (const side of doors.sides) await side.open();
  const { mode, gid } = statSync(socket);
  return [mode & 0o777, gid];
}

suite("who may use the unix socket", () => {
  test("of a user's own agent: the user alone, whatever the user's own group is", async (context) => {
    assert.equal((await opened(context, { scope: "user" }))[0], 0o600);
  });

  for (const scope of ["user", "system"] as const)
    test(`the group of the settings, with Scope=${scope}`, async (context) => {
      assert.deepEqual(await opened(context, { scope, group: String(ownGroup) }), [0o660, ownGroup]);
    });
});
