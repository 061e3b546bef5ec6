// Lines about the house's own work, on stderr: for people, for systemd's journal, or as JSON. Implements ports/log.ts.
// The one importer of pino. Takes scalars only, so that no object can carry a secret or a unit's text into a line.
import { fstatSync } from "node:fs";
import type { Writable } from "node:stream";
import pino, { type Logger } from "pino";
import { Problem, explainError } from "../domain/problem.ts";
import type { Settings } from "../domain/settings.ts";
import type { Log, LogFields } from "../ports/log.ts";

export interface LogOptions {
  readonly level: Settings["logLevel"];
  /** `text` with the time of day, for people; `journal` with sd-daemon(3)'s `<N>` in place of the time; `json`, one object a line. */
  readonly format: "text" | "journal" | "json";
  /** Only for `text`. */
  readonly colour?: boolean;
  /** Takes one whole line, with its line end. Must not throw. */
  readonly write: (line: string) => void;
  /** Wall clock in ms. */
  readonly now?: () => number;
}

type Level = Settings["logLevel"];
type Scalar = string | number | boolean;

/** sd-daemon(3) priorities. */
const priorities: Readonly<Record<Level, number>> = { debug: 7, info: 6, warn: 4, error: 3 };
const colours: Readonly<Record<Level, string>> = {
  debug: "\u001b[2m",
  info: "",
  warn: "\u001b[33m",
  error: "\u001b[31m",
};
const bold = "\u001b[1m";
const plain = "\u001b[0m";

/** A field longer than this is cut: a line is for reading. */
const maxFieldChars = 2000;
const maxStackLines = 20;
/** What a reader that does not read may make the process hold; further lines are dropped and counted. */
const maxPendingBytes = 1024 * 1024;

/** A log whose lines go to `write`. */
export function createLog({ level, format, colour = false, write, now = Date.now }: LogOptions): Log {
  const render = format === "json" ? undefined : { format, colour };
  const logger = pino(
    {
      level,
      base: null,
      messageKey: "event",
      timestamp: () => `,"time":"${new Date(now()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line) => write(render === undefined ? line : renderLine(line, render)) },
  );
  return new FieldLog(logger, {});
}

class FieldLog implements Log {
  readonly #logger: Logger;
  readonly #fields: LogFields;

  constructor(logger: Logger, fields: LogFields) {
    this.#logger = logger;
    this.#fields = fields;
  }

  debug(event: string, fields: LogFields = {}): void {
    this.#say("debug", event, fields);
  }

  info(event: string, fields: LogFields = {}): void {
    this.#say("info", event, fields);
  }

  warn(event: string, fields: LogFields = {}): void {
    this.#say("warn", event, fields);
  }

  error(event: string, error: unknown, fields: LogFields = {}): void {
    this.#say("error", event, { ...fields, ...errorFields(error) });
  }

  with(fields: LogFields): Log {
    return new FieldLog(this.#logger, { ...this.#fields, ...fields });
  }

  #say(level: Level, event: string, fields: LogFields): void {
    if (this.#logger.isLevelEnabled(level)) this.#logger[level](scalars({ ...this.#fields, ...fields }), event);
  }
}

const ownKeys: ReadonlySet<string> = new Set(["level", "time", "event"]);

/** Fields without the undefined ones, bounded, and none in the place of the line's own. */
function scalars(fields: LogFields): Readonly<Record<string, Scalar>> {
  const kept: Record<string, Scalar> = {};
  for (const [key, value] of Object.entries(fields))
    if (value !== undefined) kept[ownKeys.has(key) ? `${key}_` : key] = typeof value === "string" ? cut(value) : value;
  return kept;
}

function cut(text: string): string {
  return text.length <= maxFieldChars ? text : `${text.slice(0, maxFieldChars)}…`;
}

/** An error with all its causes in one text. What is no Problem is a fault of the program and shows where it arose. */
function errorFields(error: unknown): LogFields {
  const fields = { error: explainError(error) };
  const expected = error instanceof AggregateError && error.errors.every((each) => each instanceof Problem);
  if (!(error instanceof Problem))
    return error instanceof Error && !expected ? { ...fields, stack: frames(error) } : fields;
  const { code, hint, at } = error;
  const place = at === undefined ? undefined : `${at.file}${at.line === undefined ? "" : `:${at.line}`}`;
  return { ...fields, hint, code, at: place };
}

function frames({ stack = "" }: Error): string | undefined {
  const lines = stack.split("\n").filter((line) => /^\s+at /.test(line));
  return lines.length === 0 ? undefined : lines.slice(0, maxStackLines).join("\n");
}

interface Rendering {
  readonly format: "text" | "journal";
  readonly colour: boolean;
}

/** pino's JSON line -> a line for people: `HH:MM:SS level event key=value`, a stack in further lines. */
function renderLine(json: string, { format, colour }: Rendering): string {
  const { level, event, time, stack, ...fields } = JSON.parse(json) as Readonly<Record<string, Scalar>> & {
    readonly level: Level;
    readonly event: string;
    readonly time: string;
  };
  const said = Object.entries(fields).map(([key, value]) => ` ${key}=${quote(String(value))}`);
  const tail = typeof stack === "string" ? stack.split("\n") : [];
  if (format === "journal")
    return [`${event}${said.join("")}`, ...tail].map((line) => `<${priorities[level]}>${line}\n`).join("");
  const [on, off] = colour ? [colours[level], plain] : ["", ""];
  const name = colour ? `${bold}${event}${plain}` : event;
  const head = `${timeOfDay(Date.parse(time))} ${on}${level.padEnd(5)}${off} ${name}${said.join("")}`;
  return [head, ...tail].map((line) => `${line}\n`).join("");
}

function timeOfDay(ms: number): string {
  const time = new Date(ms);
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

/** As it is where that can be told apart, else as a JSON string; nothing that moves a terminal's cursor gets through. */
function quote(value: string): string {
  if (/^[^\s"=\p{Cc}\p{Cf}]+$/u.test(value)) return value;
  return JSON.stringify(value).replace(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The log of a whole process, on its stderr: for the journal where that listens, in colour only on a terminal. */
export function createStderrLog({ logLevel, logFormat }: Pick<Settings, "logLevel" | "logFormat">): Log {
  const { env, stderr } = process;
  const journal = logFormat === "text" && isJournal(env["JOURNAL_STREAM"]);
  const colour = stderr.isTTY && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
  return createLog({ level: logLevel, format: journal ? "journal" : logFormat, colour, write: streamWriter(stderr) });
}

/** Whether stderr is the journal's own stream: its device and inode are those of JOURNAL_STREAM (systemd.exec(5)). */
function isJournal(stream: string | undefined): boolean {
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(2);
  return stream === `${dev}:${ino}`;
}

/**
 * Writes lines to a stream that may close or stall: after its first error nothing more is written, and above 1 MiB of
 * unwritten lines further ones are dropped, and counted in the next line that gets through.
 */
export function streamWriter(stream: Writable): (line: string) => void {
  let broken = false;
  let dropped = 0;
  // nobody is left to tell: the reader of the log has gone (EPIPE), and the work must go on
  stream.on("error", () => (broken = true));
  return (line) => {
    if (broken || stream.writableEnded) return;
    if (stream.writableLength > maxPendingBytes) {
      dropped++;
      return;
    }
    stream.write(dropped === 0 ? line : `log.dropped lines=${dropped}\n${line}`);
    dropped = 0;
  };
}
