// What sudo would make of a file, before it is written: asked of a checker that knows one mistake.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { file } from "../../../../agent/adapters/setup/files.ts";
import type { Around } from "../../../../agent/adapters/setup/around.ts";
import { Manager } from "../../../../agent/adapters/setup/manager.ts";
import { Programs, type Ran, type RunOptions } from "../../../../agent/adapters/setup/programs.ts";
import { step, wish } from "../../../contract/host-setup.ts";
import { FakeClock } from "../../../fakes/fake-clock.ts";
import { silentLog } from "../../../fakes/silent-log.ts";
import { openScratchRoot } from "./root.ts";

class Checker extends Programs {
  readonly seen: string[] = [];

  override async find(name: string): Promise<string | undefined> {
    return name === "visudo" ? "/usr/sbin/visudo" : undefined;
  }

  override async run(_argv: readonly string[], { input = "" }: RunOptions): Promise<Ran> {
    this.seen.push(input);
    const isWrong = input.includes("MISTAKE");
    return { status: isWrong ? 1 : 0, out: "", all: isWrong ? "stdin:2:9: syntax error" : "" };
  }
}

const isRoot = process.geteuid?.() === 0;
const never = new AbortController().signal;
const path = "/etc/sudoers.d/ops";

describe("sudoers", { skip: isRoot ? false : "files are given to root, which takes root" }, () => {
  for (const [what, text, append] of [
    ["a whole file", "ops ALL=(ALL) NOPASWD:ALL\n", false],
    ["a line at the end", "dev ALL=(ALL) NOPASWD:ALL\n", true],
  ] as const)
    test(`with a mistake are not written: ${what}`, async () => {
      const machine = await openScratchRoot();
      try {
        const { root } = machine;
        const programs = new Checker(root);
        const manager = new Manager({ sockets: [], clock: new FakeClock(), log: silentLog });
        const clock = new FakeClock();
        const around: Around = { root, programs, manager, clock, log: silentLog, instanceId: undefined };
        await machine.put(path, "root ALL=(ALL) ALL\n");
        const right = step({ kind: "file", file: wish(path, text, { mode: 0o440, append }) });
        const wrong = step({ kind: "file", file: wish(path, text.replace("ALL=", "MISTAKE"), { append }) });
        assert.ok(right.kind === "file" && wrong.kind === "file");
        assert.deepEqual(
          (await file.check(wrong, around, [])).map(({ code }) => code),
          ["setup-sudoers"],
        );
        await assert.rejects(file.apply(wrong, around, never), { code: "setup-sudoers" });
        assert.equal(await machine.read(path), "root ALL=(ALL) ALL\n");
        assert.deepEqual(await file.check(right, around, []), []);
        await file.apply(right, around, never);
        const whole = append ? `root ALL=(ALL) ALL\n${text}` : text;
        assert.equal(await machine.read(path), whole);
        assert.equal(programs.seen.at(-1), whole, "all that the file will hold is looked at");
      } finally {
        await machine.close();
      }
    });
});
