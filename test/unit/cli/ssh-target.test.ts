import assert from "node:assert/strict";
import { test } from "node:test";
import { type Meaning, chooseMachines } from "../../../agent/cli/ssh-target.ts";
import { Problem } from "../../../agent/domain/problem.ts";

// F-450 to F-452
const machines = [
  { id: "c31e44e1f858471792f5c42c4c7ddcf1", ip: "1.2.3.4", hostname: "one", alive: true },
  { id: "595989bbcbb749ce8726722d6e157b4e", ip: "5.6.7.8", hostname: "two", alive: true },
  { id: "c3000000000000000000000000000000", ip: "8.7.6.5", hostname: "hello", alive: true },
];
const [one, two, three] = machines;
type Machine = (typeof machines)[number] | undefined;
const units: Readonly<Record<string, readonly Machine[]>> = {
  j1: [one],
  hello: [three],
  everywhere: [one, two],
  nowhere: [],
};

const cases: readonly {
  readonly word: string;
  readonly as?: Meaning;
  readonly all?: boolean;
  /** Addresses, or what is refused. */
  readonly expect: readonly string[] | RegExp;
}[] = [
  { word: "asdf", as: "machine", expect: /: machine does not exist$/ },
  { word: "c31e44e1f858471792f5c42c4c7ddcf1", as: "machine", expect: ["1.2.3.4"] },
  { word: "C31E", as: "machine", expect: ["1.2.3.4"] },
  { word: "c3", as: "machine", expect: /: found more than one machine$/ },
  { word: "two", as: "machine", expect: ["5.6.7.8"] },
  { word: "5.6.7.8", as: "machine", expect: ["5.6.7.8"] },
  { word: "hello", as: "machine", expect: ["8.7.6.5"] },
  { word: "", as: "machine", expect: /: machine does not exist$/ },
  { word: "asdf", as: "unit", expect: /: unit does not exist$/ },
  { word: "j1", as: "unit", expect: ["1.2.3.4"] },
  { word: "hello", as: "unit", expect: ["8.7.6.5"] },
  { word: "nowhere", as: "unit", expect: /: unit nowhere is on no machine that answers$/ },
  { word: "everywhere", as: "unit", expect: /: unit everywhere is on 2 machines$/ },
  { word: "everywhere", as: "unit", all: true, expect: ["1.2.3.4", "5.6.7.8"] },
  { word: "asdf", expect: /: could not find matching unit or machine$/ },
  { word: "c31e44e1f858471792f5c42c4c7ddcf1", expect: ["1.2.3.4"] },
  { word: "j1", expect: ["1.2.3.4"] },
  { word: "hello", expect: /: ambiguous argument, both machine and unit found for `hello`$/ },
];
for (const { word, as: meaning = "either", all = false, expect } of cases)
  test(`${meaning} "${word}"${all ? " --all" : ""}`, () => {
    const places = units[word]?.filter((each) => each !== undefined);
    const choose = () => chooseMachines({ word, machines, places }, { meaning, all }).map(({ ip }) => ip);
    if (!(expect instanceof RegExp)) assert.deepEqual(choose(), expect);
    else {
      assert.throws(
        choose,
        (error: unknown) => error instanceof Problem && expect.test(error.message) && error.hint !== undefined,
      );
    }
  });
