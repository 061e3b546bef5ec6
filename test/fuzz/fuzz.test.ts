// Every target: all of its corpus again, and the first seeds; npm run fuzz runs as many more as are wanted. And the engine
// itself: what it is to find, it finds, and the same seed is the same input.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { type Tried, type Trying, growthEvery, tryInput, trySeed } from "./campaign.ts";
import { Chance } from "./chance.ts";
import { type Entry, corpusFolder, readCorpus } from "./corpus.ts";
import { Growth } from "./growth.ts";
import { bytesOf, makeInput, type Material } from "./mutate.ts";
import { Runner } from "./runner.ts";
import { breachOf, reasons } from "./target.ts";
import { targetNames } from "./targets.ts";
import { Problem } from "../../agent/domain/problem.ts";

/** Seeds of each target, or as many as this time is enough for: slow readers are for npm run fuzz. */
const seeds = 300;
const seedsMs = 450;

function nothingFound({ finding }: Tried, name: string): void {
  assert.equal(finding, undefined, `${name}: ${finding?.breach ?? ""}\n${JSON.stringify(finding?.input.toString())}`);
}

/** What came of each entry: nothing that breaks a rule. */
async function replayed(entries: readonly Entry[], runner: Runner): Promise<readonly Tried[]> {
  const all: Tried[] = [];
  for (const { name, bytes } of entries) {
    const tried = await tryInput(bytes, { runner });
    nothingFound(tried, name);
    all.push(tried);
  }
  return all;
}

suite("fuzz", () => {
  test("every folder of the corpus is a target's", () => {
    assert.deepEqual(readdirSync(corpusFolder).sort(), [...targetNames].sort());
  });

  for (const name of targetNames) {
    test(name, async () => {
      const runner = new Runner(name);
      try {
        const [facts, entries] = await Promise.all([runner.facts(), readCorpus(name)]);
        await replayed(entries, runner);
        const corpus = entries.map(({ bytes }) => bytes);
        const material: Material = { corpus, ...facts };
        const endMs = performance.now() + seedsMs;
        for (let seed = 0; seed < seeds && performance.now() < endMs; seed++)
          nothingFound(await trySeed(seed, material, { runner }), `seed ${seed}`);
      } finally {
        await runner.close();
      }
    });
  }
});

suite("fuzz: the engine finds what it is for", () => {
  const runner = new Runner("planted");
  const impatient = new Runner("planted", { hangMs: 1_000 });
  after(() => Promise.all([runner.close(), impatient.close()]));
  const found = async (text: string, more: Partial<Trying> = {}): Promise<string> => {
    const { finding } = await tryInput(bytesOf(text), { runner, ...more });
    return finding === undefined
      ? ""
      : `${finding.breach.split("\n")[0] ?? ""} <- ${Buffer.from(finding.input).toString()}`;
  };

  const cases: readonly (readonly [input: string, says: RegExp])[] = [
    ["nothing at all", /^$/],
    ["some text that throws in the middle", /^TypeError: .* <- throw$/],
    ["a later later error", /^the thread died: Error: nobody waits for it <- later$/],
    ["a long, long message", /^a message of \d+ characters.* <- long$/],
    ["no problem but a string", /^not a Problem.* <- string$/],
  ];
  for (const [input, says] of cases)
    test(input, async () => {
      assert.match(await found(input.replace("but a string", "string")), says);
    });

  const lasting: readonly (readonly [input: string, says: RegExp])[] = [
    ["slow", /^slow: \d+ ms for 4 bytes/],
    ["hang", /^no answer within \d+ ms/],
    ["memory", /^(the thread died: .*memory|memory: \d+ MiB for 6 bytes)/i],
    ["buffers", /^memory: \d+ MiB for 7 bytes/],
    ["pollute", /^a polluted prototype: .*polluted/],
  ];
  for (const [input, says] of lasting)
    test(`${input} is told, and the next input is taken`, async () => {
      const trying = { runner: input === "hang" ? impatient : runner, shrinkMs: 0 };
      assert.match(await found(input, trying), says);
      assert.equal(await found("nothing", trying), "");
    });

  test("an input of a new manner is kept, small, and replayed; one that is not new is not kept", async () => {
    const folder = mkdtempSync(join(tmpdir(), "flotilla-corpus-"));
    try {
      const growth = new Growth({ target: "planted", runner, folder });
      const grow = async (text: string): Promise<string | undefined> => {
        const tried = await tryInput(bytesOf(text), { runner });
        return growth.isNew(tried) ? growth.keep(tried) : undefined;
      };
      assert.match((await grow("plain words")) ?? "", /^planted\/new-[0-9a-f]{12}$/);
      assert.match((await grow("words that it takes otherwise, and more")) ?? "", /^planted\/new-[0-9a-f]{12}$/);
      assert.equal(await grow("other words that it takes otherwise"), undefined);
      assert.equal(await grow("other plain words"), undefined);
      const entries = await readCorpus("planted", folder);
      const texts = entries.map(({ bytes }) => Buffer.from(bytes).toString()).sort();
      assert.deepEqual(texts, ["", "otherwise"]);
      const manners = new Set<string>();
      for (const tried of await replayed(entries, runner)) manners.add(tried.manner);
      assert.deepEqual([...manners].sort(), ["otherwise", "taken"]);
      // What a later run finds in the corpus is no news to it
      const later = new Growth({ target: "planted", runner, folder });
      for (const tried of await replayed(entries, runner)) later.isNew(tried);
      assert.equal(later.isNew(await tryInput(bytesOf("otherwise again"), { runner })), false);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("time that grows faster than the input is told", async () => {
    const material: Material = { corpus: [bytesOf("square\n")], words: ["square\n"], maxBytes: 64 * 1024 };
    const told: string[] = [];
    for (let seed = growthEvery - 1; told.length === 0 && seed < 20 * growthEvery; seed += growthEvery) {
      const { finding } = await trySeed(seed, material, { runner });
      if (finding !== undefined) told.push(finding.breach);
    }
    assert.match(told.join(), /^grows: \d+ ms for 16384 bytes, \d+ ms for 65536/);
  });

  test("a seed is an input, the same one each time, and neighbours differ", () => {
    const material: Material = { corpus: [bytesOf("a b c\nd\n"), bytesOf("x=1\n")], words: ["w"], maxBytes: 1_000 };
    const make = (seed: number): string => Buffer.from(makeInput(new Chance(seed), material)).toString("hex");
    const made = Array.from({ length: 200 }, (_, seed) => make(seed));
    assert.deepEqual(
      made,
      made.map((_, seed) => make(seed)),
    );
    assert.ok(new Set(made).size > 150, `${new Set(made).size} of 200`);
    assert.ok(made.every((hex) => hex.length <= 2_000));
  });

  test("problems are held to their rules", () => {
    const said = (problem: unknown, text = ""): string | undefined =>
      breachOf({ outcome: "", problems: [problem as Problem], texts: [text] });
    assert.equal(said(new Problem("a-b", "Cannot take it")), undefined);
    assert.match(breachOf({ outcome: "unit refused", problems: [] }) ?? "", /refusal without a problem/);
    assert.equal(breachOf({ outcome: "unit refused", problems: [new Problem("a-b", "Cannot take it")] }), undefined);
    assert.throws(() => reasons([]), /says why/);
    assert.match(said(new Problem("", "Cannot take it")) ?? "", /without a code/);
    assert.match(said(new Problem("a", " ")) ?? "", /without a message/);
    assert.match(said(new Problem("a", "Cannot take undefined")) ?? "", /about nothing/);
    assert.match(said(new Problem("a", "b", { cause: new Error("x\n    at f (a.ts:1:2)") })) ?? "", /stack/);
    assert.match(said(new Problem("a", "b"), "x\n    at f (a.ts:1:2)") ?? "", /stack/);
  });
});
