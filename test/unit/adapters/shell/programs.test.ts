import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Program, captureProgram, streamProgram } from "../../../../agent/adapters/shell/programs.ts";

/** Holds the outputs open when the `sh` that has started it has ended, and ends when nobody hears it. */
const lasting = "(while echo up; do sleep 0.1; done)";
const withinMs = { timeout: 15_000 };

function program(script: string, signal: AbortSignal): Program {
  return { words: ["sh", "-c", script], env: process.env, signal, hint: "", missing: "shell-missing" };
}

suite("a program that is cut off does not wait for those that it has started", () => {
  test("when lines are handed on", withinMs, async () => {
    const over = new AbortController();
    const lines: string[] = [];
    const run = streamProgram(program(`${lasting}; true`, over.signal), async (text) => {
      lines.push(text);
      over.abort();
    });
    await assert.rejects(run, { code: "aborted" });
    assert.equal(lines[0], "up");
  });

  test("when whoever takes its lines is slow", withinMs, async () => {
    const over = new AbortController();
    const run = streamProgram(program(`${lasting}; true`, over.signal), async () => {
      over.abort();
      await delay(500); // by then the program has long ended
    });
    await assert.rejects(run, { code: "aborted" });
  });

  test("when it is captured", withinMs, async () => {
    await assert.rejects(captureProgram(program(`${lasting}; true`, AbortSignal.timeout(200))), { code: "aborted" });
  });

  test("when whoever takes its lines takes no more", withinMs, async () => {
    const run = streamProgram(program(`${lasting}; true`, new AbortController().signal), async () => {
      throw new Error("gone");
    });
    await assert.rejects(run, /^Error: gone$/);
  });

  test("when it has left one behind", withinMs, async () => {
    const over = new AbortController();
    const run = streamProgram(program(`${lasting} &`, over.signal), async () => {
      setTimeout(() => over.abort(), 200);
    });
    await assert.rejects(run, { code: "aborted" });
  });

  test("when it says too much", withinMs, async () => {
    await assert.rejects(captureProgram(program("yes; true", new AbortController().signal)), { code: "shell-output" });
  });
});
