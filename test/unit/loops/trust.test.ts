// When the registry's picture may be decided on, and from when on a machine that is absent is gone.
import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import type { MachineId } from "../../../agent/domain/names.ts";
import type { Position } from "../../../agent/domain/placement.ts";
import { PictureReader, type RegistryPicture } from "../../../agent/loops/picture.ts";
import { Trust } from "../../../agent/loops/trust.ts";
import { keys } from "../../../agent/text/values.ts";
import { MemoryLog } from "../../fakes/memory-log.ts";
import { idOf, machineLeaseMs } from "./house.ts";

const empty = new PictureReader().read(new Map(), undefined);
const settledMs = machineLeaseMs + 1_000;

/** Machines that were told something, and those of them that are there; each by a letter. */
function picture(told: string, there: string): RegistryPicture {
  const each = <T>(letters: string, of: T): ReadonlyMap<MachineId, T> =>
    new Map(Array.from(letters).map((letter) => [idOf(letter), of]));
  // Only whose keys are there counts
  return { ...empty, manifests: each(told, {}), machines: each(there, {}) } as unknown as RegistryPicture;
}

describe("trust", () => {
  let nowMs: number;
  let connectedSinceMs: number;
  let registrySinceMs: number;
  let registryWentBackMs: number;
  let behind: number;
  let log: MemoryLog;

  beforeEach(() => {
    nowMs = 100_000;
    behind = 0;
    connectedSinceMs = 0;
    registrySinceMs = 0;
    registryWentBackMs = -Infinity;
    log = new MemoryLog();
  });

  const takeOffice = (epoch = 7): Trust =>
    new Trust(
      {
        mirror: {
          get connectedSinceMs() {
            return connectedSinceMs;
          },
        },
        machineLeaseMs,
        registrySinceMs: () => registrySinceMs,
        registryWentBackMs: () => registryWentBackMs,
        clock: { monotonicMs: () => nowMs },
        log,
        onBehind: () => behind++,
      },
      epoch,
    );

  describe("a machine that is absent", () => {
    const standingOf = (trust: Trust, letter: string, there: string): string =>
      trust.attendance(picture("ab", there)).standing.get(idOf(letter)) ?? "gone";

    test("may be coming back for a lease from taking office, and is gone then", () => {
      const trust = takeOffice();
      assert.equal(standingOf(trust, "b", "a"), "presumed");
      assert.equal(trust.attendance(picture("ab", "a")).dueMs, settledMs);
      nowMs += settledMs - 1;
      assert.equal(standingOf(trust, "b", "a"), "presumed");
      nowMs += 1;
      assert.equal(standingOf(trust, "b", "a"), "gone");
      const { isSettling, dueMs } = trust.attendance(picture("ab", "a"));
      assert.deepEqual([isSettling, dueMs], [false, Infinity]);
    });

    test("is gone at once when it was seen in this tenure", () => {
      const trust = takeOffice();
      assert.equal(standingOf(trust, "b", "ab"), "present");
      nowMs += 1;
      assert.equal(standingOf(trust, "b", "a"), "gone");
      assert.equal(trust.attendance(picture("ab", "a")).isSettling, true);
    });

    test("is so also where the mirror was first asked when this leader took office", () => {
      connectedSinceMs = nowMs;
      const trust = takeOffice();
      assert.equal(standingOf(trust, "b", "ab"), "present");
      assert.equal(standingOf(trust, "b", "a"), "gone");
    });

    test("was not seen for a lease after this machine has had the registry back", () => {
      registrySinceMs = nowMs - settledMs + 500;
      const trust = takeOffice();
      assert.equal(standingOf(trust, "b", "ab"), "present");
      assert.equal(standingOf(trust, "b", "a"), "presumed");
      assert.equal(trust.attendance(picture("ab", "ab")).dueMs, 500, "it is looked at when it begins to count");
      nowMs += 500;
      assert.equal(standingOf(trust, "b", "ab"), "present");
      assert.equal(standingOf(trust, "b", "a"), "gone");
    });

    test("may be coming back again, whoever was seen, when the mirror was cut off meanwhile", () => {
      connectedSinceMs = nowMs;
      const trust = takeOffice();
      nowMs += 2 * settledMs;
      assert.equal(standingOf(trust, "b", "ab"), "present");
      connectedSinceMs = nowMs;
      assert.equal(standingOf(trust, "b", "a"), "presumed");
      nowMs += settledMs;
      assert.equal(standingOf(trust, "b", "a"), "gone");
    });
  });

  describe("a registry that was put back", () => {
    const unsure = { isCommitSure: false };
    const sure = { isCommitSure: true };
    const ahead = (letters: string): Pick<RegistryPicture, "ahead" | "machines" | "modified"> => ({
      ahead: new Set(Array.from(letters).map(idOf)),
      machines: picture("", "ab").machines,
      modified: new Map(),
    });

    test("is waited for, for a lease from each machine that is found ahead, which is said once", () => {
      const trust = takeOffice();
      assert.equal(trust.returnMs(ahead(""), unsure), 0);
      assert.equal(trust.returnMs(ahead("a"), sure), settledMs);
      nowMs += 4_000;
      assert.equal(trust.returnMs(ahead("a"), sure), settledMs - 4_000);
      assert.equal(trust.returnMs(ahead("ab"), sure), settledMs);
      nowMs += settledMs;
      assert.equal(trust.returnMs(ahead("ab"), sure), 0);
      assert.equal(behind, 2);
      assert.deepEqual(
        log.lines.map(({ event, fields }) => [event, fields["machine"]]),
        [
          ["registry.behind", idOf("a")],
          ["registry.behind", idOf("b")],
        ],
      );
    });

    test("says nothing of the newest commit: without it nothing is decided", () => {
      registryWentBackMs = nowMs;
      const trust = takeOffice();
      assert.equal(trust.returnMs(ahead(""), unsure), settledMs);
      nowMs += settledMs;
      assert.throws(() => trust.returnMs(ahead(""), unsure), { code: "registry-behind" });
      assert.equal(trust.returnMs(ahead(""), sure), 0);
    });

    test("a minute before this leader took office is no longer its concern", () => {
      registryWentBackMs = nowMs - 60_001;
      assert.equal(takeOffice().returnMs(ahead(""), unsure), 0);
      registryWentBackMs = nowMs - 60_000;
      const trust = takeOffice();
      assert.throws(() => trust.returnMs(ahead(""), unsure), { code: "registry-behind" });
    });
  });

  describe("machines that nobody has heard of", () => {
    /** What it makes of a registry with a mark, or without; with machines that are there, and some that are ahead. */
    const look = (trust: Trust, mark?: number, there = "ab", ahead = ""): ReturnType<Trust["unheardUntil"]> => {
      const modified = new Map(mark === undefined ? [] : [[keys.restored, mark]]);
      const given = { machines: picture("", there).machines, ahead: new Set(Array.from(ahead).map(idOf)), modified };
      trust.returnMs(given, { isCommitSure: true });
      return trust.unheardUntil();
    };
    const after = (ms: number): number => ms + settledMs;

    test("may be there until a lease after the registry came back to this one", () => {
      registrySinceMs = 90_000;
      connectedSinceMs = 95_000;
      const trust = takeOffice();
      assert.deepEqual(look(trust), { heardOfMs: after(90_000), putBackMs: -Infinity });
      connectedSinceMs = 101_000;
      assert.deepEqual(look(trust), { heardOfMs: after(101_000), putBackMs: -Infinity });
    });

    test("may be there until a lease after it was found put back: by this one, or by whoever left the mark", () => {
      registryWentBackMs = 99_000;
      const trust = takeOffice();
      assert.equal(look(trust).putBackMs, after(99_000));
      nowMs = 103_000;
      assert.equal(look(trust, 5).putBackMs, after(103_000));
      nowMs = 104_000;
      assert.equal(look(trust, 5).putBackMs, after(103_000));
      assert.equal(look(trust, 7).putBackMs, after(104_000), "another one");
    });

    test("are none when somebody takes the mark away, unless that may be a restore", () => {
      registryWentBackMs = 99_000;
      const trust = takeOffice();
      look(trust, 5);
      nowMs = 101_000;
      assert.equal(look(trust).putBackMs, -Infinity);
      nowMs = 102_000;
      assert.equal(look(trust, 9).putBackMs, after(102_000));
    });

    test("are looked for anew, with the mark or without it, after the mirror was cut off", () => {
      const trust = takeOffice();
      look(trust, 5);
      nowMs = 105_000;
      connectedSinceMs = 105_000;
      assert.equal(look(trust, 5).putBackMs, after(105_000), "the mark may be restored itself");
      nowMs = 106_000;
      connectedSinceMs = 106_000;
      registryWentBackMs = 106_000;
      assert.equal(look(trust).putBackMs, after(106_000));
    });

    test("are waited for from when one that was ahead is lost: nothing else says what it has", () => {
      const trust = takeOffice();
      assert.equal(look(trust, undefined, "ab", "b").putBackMs, after(100_000));
      nowMs = 104_000;
      assert.equal(look(trust, undefined, "ab", "b").putBackMs, after(100_000));
      nowMs = 108_000;
      assert.equal(look(trust, undefined, "a", "").putBackMs, after(108_000));
      nowMs = 109_000;
      assert.equal(look(trust, undefined, "a", "").putBackMs, after(108_000));
    });
  });

  test("the epoch is the tenure's, or above all that was written and seen", () => {
    const at = (epoch: number, generation: number): Position => ({ epoch, generation });
    const epochOf = (manifest: Position, seen: Position, generation = 3): number =>
      takeOffice(7).epochFor(
        { manifests: new Map([[idOf("a"), manifest]]), statuses: new Map([[idOf("b"), { seen }]]) },
        generation,
      );
    assert.equal(epochOf(at(7, 3), at(6, 9)), 7);
    assert.equal(epochOf(at(7, 4), at(7, 3)), 8);
    assert.equal(epochOf(at(7, 3), at(7, 4)), 8);
    assert.equal(epochOf(at(8, 1), at(12, 1)), 13);
    assert.equal(epochOf(at(12, 1), at(8, 1)), 13);
    const trust = takeOffice(7);
    trust.epochFor({ manifests: new Map([[idOf("a"), at(9, 1)]]), statuses: new Map() }, 3);
    assert.equal(trust.epochFor({ manifests: new Map(), statuses: new Map() }, 3), 10, "it never falls");
  });
});
