// Documents in JSON that come from a disk, from a person or from another version: exported states, records of boots and of
// joining etcd, the tokens of a discovery service, answers of an agent to a command. The first line says which it is.
import {
  encodeKept as encodeEndpoints,
  parseKept as parseEndpoints,
} from "../../../agent/adapters/registry/etcd-endpoints.ts";
import { encodeKept, parseKept } from "../../../agent/bootstrap/kept.ts";
import { readNote, readRecord, writeNote, writeRecord } from "../../../agent/discovery/discovery.ts";
import { type Checked, Problem, invalid, valid } from "../../../agent/domain/problem.ts";
import { encodeRecord, parseRecord } from "../../../agent/firstboot/record.ts";
import { explanationAnswers } from "../../../agent/report/explanation.ts";
import { handAnswers } from "../../../agent/report/hands.ts";
import { answers, listings } from "../../../agent/report/report.ts";
import { encodeBootResult, parseBootResult } from "../../../agent/text/boot-result.ts";
import { encodeDiscoveryStore, parseDiscoveryStore } from "../../../agent/text/discovery-store.ts";
import { readExportedState } from "../../../agent/text/exported-state.ts";
import { type Target, mustHold, textOf } from "../target.ts";

interface Codec {
  readonly parse: (text: string) => Checked<unknown>;
  readonly encode: (value: never) => string;
}

/** `key`: what the value stands under in its answer. */
const json = (read: (value: unknown) => Checked<unknown>, key?: string): Codec => ({
  parse: (text) => {
    try {
      return read(JSON.parse(text));
    } catch (error) {
      if (error instanceof SyntaxError) return invalid(new Problem("agent-answer", "Cannot read the answer as JSON"));
      throw error;
    }
  },
  encode: (value) => JSON.stringify(key === undefined ? value : { [key]: value }),
});

const listing = ({
  read,
  key,
}: {
  readonly read: (answer: unknown) => Checked<unknown>;
  readonly key: string;
}): Codec => json(read, key);

const codecs: Readonly<Record<string, Codec>> = {
  state: { parse: (text) => readExportedState(text, "state.json"), encode: JSON.stringify },
  "boot-result": { parse: parseBootResult, encode: encodeBootResult },
  "boot-record": { parse: parseRecord, encode: encodeRecord },
  "boot-found": { parse: checkedFound, encode: encodeKept },
  "join-record": { parse: readRecord, encode: writeRecord },
  "join-note": {
    parse: (text) => {
      const note = readNote(text);
      return note === undefined ? invalid(new Problem("join-note", "Cannot read the note")) : valid(note);
    },
    encode: writeNote,
  },
  "discovery-store": { parse: parseDiscoveryStore, encode: encodeDiscoveryStore },
  endpoints: { parse: parseEndpoints, encode: encodeEndpoints },
  machine: json(answers.machine),
  unit: json(answers.unit),
  "unit-file": json(answers.unitFile),
  cluster: json(answers.cluster),
  sync: json(answers.sync),
  machines: listing(listings.machines),
  units: listing(listings.units),
  "unit-files": listing(listings.unitFiles),
  "unit-explanation": json(explanationAnswers.unit),
  "machine-explanation": json(explanationAnswers.machine),
  ...Object.fromEntries(Object.entries(handAnswers).map(([name, read]) => [`hand-${name}`, json(read)])),
};

/** What a boot relies on of what it finds again. */
function checkedFound(text: string): ReturnType<typeof parseKept> {
  const kept = parseKept(text);
  if (!kept.ok) return kept;
  const { sshKeys, addresses, instanceId, hostname } = kept.value.found.metadata;
  mustHold(
    sshKeys.every((key: unknown) => typeof key === "string"),
    "keys that are texts",
  );
  const all: readonly unknown[] = Object.values(addresses);
  mustHold(
    all.every((each) => each === undefined || typeof each === "string"),
    "addresses that are texts",
  );
  for (const each of [instanceId, hostname] as readonly unknown[])
    mustHold(each === undefined || typeof each === "string", "names that are texts");
  return kept;
}

export const target: Target = {
  name: "documents",
  reads: "documents in JSON, from disks, people and other versions",
  maxBytes: 256 * 1024,
  words: [
    ...Object.keys(codecs).map((name) => `${name}\n`),
    ...[
      '"__proto__":{"a":1}',
      '"version":1',
      '"id":',
      '"name":"a.service"',
      '"units":[',
      '"machines":[',
      '"constructor":',
      "null",
    ],
    ...["{", "}", "[", "]", ",", ":", "true", "1e400", "-0", '""', '"a"', "[[", "{}", '{"a":1}'],
  ],
  run(input) {
    const text = textOf(input);
    const end = text.indexOf("\n");
    const name = text.slice(0, Math.max(0, end));
    const codec = Object.hasOwn(codecs, name) ? codecs[name] : undefined;
    if (codec === undefined) return { outcome: "nothing", problems: [] };
    const parsed = codec.parse(text.slice(end + 1));
    if (!parsed.ok) return { outcome: `${name} refused`, problems: parsed.problems };
    const written = codec.encode(parsed.value as never);
    const again = codec.parse(written);
    mustHold(again.ok, "what was written can be read");
    mustHold(codec.encode(again.value as never) === written, "what was read is written the same");
    return { outcome: `${name} taken`, problems: [] };
  },
};
