// What systemd answers and signals, of any shape: states of units, jobs, properties. One line of JSON is one reply; a line
// that begins with "signal" is a signal. {"$big": "1"}, {"$number": "NaN"} and variants are written as objects.
import { reach } from "../../../agent/adapters/systemd/calls.ts";
import { Jobs } from "../../../agent/adapters/systemd/jobs.ts";
import { PeerError, type Signal } from "../../../agent/adapters/systemd/peer.ts";
import { type Caller, Units, property, text } from "../../../agent/adapters/systemd/units.ts";
import { parseUnitName, type UnitName } from "../../../agent/domain/names.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import { canonicalJson } from "../../../agent/text/canonical-json.ts";
import { type Target, mustHold, problemsOf, textOf } from "../target.ts";

const names = ["web.service", "web@1.timer", "a.slice"].map((name): UnitName => {
  const parsed = parseUnitName(name);
  mustHold(parsed.ok, name);
  return parsed.value;
});

function valueOf(line: string): unknown {
  try {
    return JSON.parse(line, (_, each: unknown) => {
      if (typeof each !== "object" || each === null) return each;
      if ("$big" in each) return /^-?\d{1,40}$/.test(String(each.$big)) ? BigInt(String(each.$big)) : each;
      return "$number" in each ? Number(each.$number) : each;
    });
  } catch {
    return line; // a text is a value, too
  }
}

export const target: Target = {
  name: "dbus-replies",
  reads: "replies and signals of systemd",
  maxBytes: 64 * 1024,
  words: [
    ...[
      '["web.service","d","loaded","active","running","","/u","0","","/"]',
      '{"$big":"1700000000000000"}',
      '{"$number":"NaN"}',
    ],
    ...[
      '{"$number":"-Infinity"}',
      '{"signature":"s","value":"x"}',
      '{"signature":"t","value":{"$big":"18446744073709551615"}}',
    ],
    ...[
      '"not-found"',
      '"inactive"',
      '"failed"',
      '"/job/1"',
      "signal ",
      '"PropertiesChanged"',
      '"JobRemoved"',
      '"done"',
      '"failed"',
    ],
    ...[
      '"error"',
      "[[",
      "]]",
      "null",
      "[]",
      "{}",
      "true",
      '"Result"',
      '"ActiveState"',
      '"ActiveEnterTimestamp"',
      '"NRestarts"',
      "\n",
    ],
  ],
  async run(input) {
    const lines = textOf(input).split("\n").slice(0, 2_000);
    const replies = lines.filter((line) => !line.startsWith("signal ")).map(valueOf);
    const signals = lines.flatMap((line) => (line.startsWith("signal ") ? [valueOf(line.slice(7))] : [])).map(signalOf);
    const problems: Problem[] = [];
    let outcome = "";
    let at = 0;
    const call: Caller = async (): Promise<readonly unknown[]> => {
      const reply = replies[at++ % Math.max(1, replies.length)];
      if (Array.isArray(reply) && reply[0] === "error") throw new PeerError(text(reply[1]), text(reply[2]));
      return Array.isArray(reply) ? (reply as unknown[]) : [reply];
    };
    const attempt = async (what: string, work: () => Promise<unknown>): Promise<void> => {
      try {
        await reach(what, work);
        outcome += ` ${what}`;
      } catch (error) {
        problems.push(...problemsOf(error));
      }
    };

    const units = new Units();
    units.follow(names);
    const jobs = new Jobs({ call, concurrency: 2 });
    for (const signal of signals) {
      units.signalled(signal);
      jobs.signalled(signal);
    }
    for (let round = 0; round < 2; round++) {
      await attempt("states", async () => {
        for (const state of (await units.states(names, call)).values()) {
          for (const word of [state.load, state.active, state.sub, state.result])
            mustHold(typeof word === "string", "words");
          for (const number of [state.sinceMs, state.restarts])
            mustHold(Number.isFinite(number), `a number: ${number}`);
          canonicalJson(state);
        }
      });
    }
    await attempt("property", () => property("/u", { interface: "i", name: "n" }, call));
    await attempt("job", async () => {
      const [name] = names;
      mustHold(name !== undefined, "a unit");
      const running = jobs.run("start", name, new AbortController().signal);
      const ended = running.then(
        (result) => ("problem" in result ? problems.push(result.problem) : 0),
        (error: unknown) => problems.push(...problemsOf(error)),
      );
      await new Promise(setImmediate);
      for (const signal of signals) jobs.signalled(signal);
      await reach("jobs", () => jobs.resume(call)).catch((error: unknown) => problems.push(...problemsOf(error)));
      jobs.fail(new Problem("systemd-unreachable", "Cannot learn more"));
      await ended;
    });
    return { outcome, problems };
  },
};

/** `{"member": ..., "body": [...]}`, or a list that is the body of one of each kind. */
function signalOf(value: unknown): Signal {
  const { path, member, body } = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  return {
    path: typeof path === "string" ? path : "/org/freedesktop/systemd1/unit/web_2eservice",
    interface: member === "PropertiesChanged" ? "org.freedesktop.DBus.Properties" : "org.freedesktop.systemd1.Manager",
    member: typeof member === "string" ? member : "JobRemoved",
    body: Array.isArray(body) ? (body as unknown[]) : Array.isArray(value) ? (value as unknown[]) : [value],
  };
}
