import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { createClock } from "../../../../agent/adapters/clock.ts";
import { createHostSetup } from "../../../../agent/adapters/setup/setup.ts";
import type { StepOf } from "../../../../agent/domain/first-boot.ts";
import { Problem } from "../../../../agent/domain/problem.ts";
import type { HostSetup } from "../../../../agent/ports/host-setup.ts";
import { silentLog } from "../../../fakes/silent-log.ts";

const step = {
  ...{ id: "swap /swap", stage: "early", frequency: "converge", at: undefined, kind: "swap" },
  ...{ file: "/swap", sizeBytes: 16 * 1024 * 1024, maxSizeBytes: undefined },
} as StepOf<"swap">;

suite("swap", { skip: existsSync("/usr/sbin/mkswap") ? false : "mkswap is not installed (util-linux)" }, () => {
  let root: string;
  let setup: HostSetup;

  before(() => {
    root = mkdtempSync(join(tmpdir(), "flotilla-swap-"));
    mkdirSync(join(root, "proc"));
    writeFileSync(join(root, "proc/swaps"), "Filename Type Size Used Priority\n");
    const own = { clock: createClock(), log: silentLog, instanceId: undefined, flotilla: "/usr/bin/flotilla" };
    setup = createHostSetup({ root, sockets: [], ...own });
  });
  after(async () => {
    await setup.close();
    rmSync(root, { recursive: true, force: true });
  });

  test("is made whole, with its mark, and nothing is left beside it", async () => {
    await setup.apply(step, AbortSignal.timeout(60_000));
    const made = readFileSync(join(root, "swap"));
    assert.equal(made.length, 16 * 1024 * 1024);
    assert.equal(made.subarray(4086, 4096).toString(), "SWAPSPACE2");
    assert.equal(existsSync(join(root, "swap.new")), false);
  });

  test("a file that is none is somebody's, and stays", async () => {
    writeFileSync(join(root, "swap"), "a disk of somebody's machine\n");
    const problems = await setup.check(step, []);
    assert.deepEqual(
      problems.map(({ code }) => code),
      ["setup-swap"],
    );
    await assert.rejects(
      setup.apply(step, AbortSignal.timeout(60_000)),
      (error) => error instanceof Problem && error.code === "setup-swap",
    );
    assert.equal(readFileSync(join(root, "swap"), "utf8"), "a disk of somebody's machine\n");
  });
});
