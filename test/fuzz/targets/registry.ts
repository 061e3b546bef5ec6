// Values of the registry, which other machines have written: every parser of agent/text/values.ts. The first line is the key.
import type { Checked } from "../../../agent/domain/problem.ts";
import * as values from "../../../agent/text/values.ts";
import { type Said, type Target, mustHold, textOf } from "../target.ts";

type Parse = (key: string, text: string) => Checked<unknown>;

/** Each parser with the encoder of what it gives, where there is one. */
const codecs: readonly (readonly [key: RegExp, parse: Parse, encode: (value: never) => string])[] = [
  [/^leader$/, values.parseLeader, values.encodeLeader],
  [/^machines\//, values.parseMachine, values.encodeMachine],
  [/^machine-settings\//, values.parseMachineSettings, values.encodeMachineSettings],
  [/^manifests\//, values.parseManifest, values.encodeManifest],
  [/^revision$/, values.parseRevision, values.encodeRevision],
  [/^statuses\//, values.parseStatus, values.encodeStatus],
  [/^units\//, values.parseSubmittedUnit, values.encodeSubmittedUnit],
  [/^holds\//, values.parseHold, values.encodeHold],
  [/^restarts\//, values.parseRestart, values.encodeRestart],
  [/^events\//, values.parseEvent, values.encodeEvent],
  [/^sync-request$/, values.parseSyncRequest, values.encodeSyncRequest],
  [/^sync-result$/, values.parseSyncResult, values.encodeSyncResult],
];
const maxProblems = 60;

function read(key: string, text: string, [, parse, encode]: (typeof codecs)[number]): Said {
  const parsed = parse(key, text);
  if (!parsed.ok) {
    mustHold(parsed.problems.length > 0 && parsed.problems.length <= maxProblems, "some problems, and not too many");
    for (const { code } of parsed.problems) mustHold(code === "registry-value", `the code of a value, not ${code}`);
    return { outcome: "refused", problems: parsed.problems };
  }
  const encoded = encode(parsed.value as never);
  const again = parse(key, encoded);
  mustHold(again.ok, "what was written can be read");
  mustHold(encode(again.value as never) === encoded, "what was read is written the same");
  return { outcome: "taken", problems: [] };
}

export const target: Target = {
  name: "registry",
  reads: "values of the registry",
  maxBytes: 256 * 1024,
  words: [
    ...[
      '"name":"a.service"',
      '"id":"',
      '"epoch":1',
      '"generation":',
      '"units":[',
      '"hash":"',
      '"commit":"',
      '"target":"launched"',
    ],
    ...[
      '"problems":[{"code":"a","message":"b"}]',
      '"__proto__":{}',
      '"atMs":',
      '"why":"',
      '"constructor":',
      "a".repeat(32),
      "0".repeat(40),
    ],
    ...[
      "leader\n",
      "revision\n",
      "units/web.service\n",
      "holds/web.service\n",
      "machines/",
      "manifests/",
      "{",
      "}",
      "[",
      "]",
      ",",
      "null",
    ],
  ],
  run(input) {
    const text = textOf(input);
    const end = text.indexOf("\n");
    const [key, value] = end < 0 ? [text, ""] : [text.slice(0, end), text.slice(end + 1)];
    const own = codecs.filter(([pattern]) => pattern.test(key));
    // A key that belongs to nobody: all of them, as if its value had been put elsewhere
    const asked = (own.length > 0 ? own : codecs).map((each) => read(key, value, each));
    values.unitOfKey(key);
    values.machineOfKey(key);
    values.machineOfSettings(key);
    const outcome = asked.some((each) => each.outcome === "taken") ? "taken" : "refused";
    return {
      outcome: `${own.length > 0 ? (key.split("/")[0] ?? "") : "any"} ${outcome}`,
      problems: asked.flatMap(({ problems }) => problems),
    };
  },
};
