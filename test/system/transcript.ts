// Transcripts of a shell as tests: lines behind "$" are typed into a real bash, and what comes of each is written down the
// same way, to be compared with the transcript as a whole. What differs from run to run stands there as a word.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";

const program = new URL("../../dist/main.js", import.meta.url).pathname;
/** Whoever types. */
const user = "ann";
/** A line that hangs says so before the test's own time is over. */
const lineTimeoutMs = 60_000;
/** How long a line behind "$~" is typed again and again before what it says counts. */
const patienceMs = 30_000;
const againMs = 200;

export interface ShellOptions {
  /** The shell's folder, where the files of its user lie. Made when missing; the caller's to remove. */
  readonly directory: string;
  /** Of the agent that is asked. */
  readonly socket: string;
  /** The cluster's, by name. */
  readonly machines: readonly { readonly name: string; readonly id: string }[];
}

export interface Said {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

/** A shell in which `flotilla` and `fleetctl` are the built program. */
export class Shell {
  readonly #options: ShellOptions;

  private constructor(options: ShellOptions) {
    this.#options = options;
  }

  static async open(options: ShellOptions, files: Readonly<Record<string, string>> = {}): Promise<Shell> {
    const shell = new Shell(options);
    await mkdir(join(options.directory, ".bin"), { recursive: true });
    for (const name of ["flotilla", "fleetctl"]) await symlink(program, join(options.directory, ".bin", name));
    await shell.write(files);
    return shell;
  }

  async write(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [path, content] of Object.entries(files)) {
      const file = join(this.#options.directory, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, content);
    }
  }

  /** Types one line. A pipe fails as the first of its commands that fails. */
  async type(line: string): Promise<Said> {
    const { directory, socket } = this.#options;
    const child = spawn("bash", ["-o", "pipefail", "-c", line], {
      cwd: directory,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: lineTimeoutMs,
      env: {
        PATH: `${join(directory, ".bin")}:${process.env["PATH"] ?? ""}`,
        HOME: directory,
        USER: user,
        TZ: "UTC",
        FLOTILLA_SOCKET: socket,
      },
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (...ended) => resolve(ended));
    });
    if (signal !== null) throw new Error(`No end within ${lineTimeoutMs} ms: ${line}\n${stdout}\n${stderr}`);
    return { stdout, stderr, code: code ?? 0 };
  }

  /**
   * Types every line of a transcript and compares all that comes of it with what stands there: stdout, then stderr behind
   * "[stderr]", then the exit code unless it is 0. A line behind "$~" is typed until it says what stands there. Lines that
   * begin with "#" are for the reader.
   */
  async follow(transcript: string, words: Words = anywhere): Promise<void> {
    const expected = unindent(transcript);
    let seen = "";
    for (const part of partsOf(expected)) {
      seen += `${part.head}\n`;
      if (part.line !== undefined) seen += await this.#untilSo(part, words);
    }
    assert.equal(seen, expected);
  }

  async #untilSo({ line = "", isRepeated, says }: Part, words: Words): Promise<string> {
    const endMs = performance.now() + (isRepeated ? patienceMs : 0);
    for (;;) {
      const said = this.#written(await this.type(line), words);
      if (said === says || performance.now() >= endMs) return said;
      await new Promise((resolve) => setTimeout(resolve, againMs));
    }
  }

  #written({ stdout, stderr, code }: Said, words: Words): string {
    const lines = [
      ...linesOf(stdout),
      ...linesOf(stderr).map((line) => `[stderr] ${line}`.trimEnd()),
      ...(code === 0 ? [] : [`[exit ${code}]`]),
    ];
    return lines.map((line) => `${this.#inWords(line, words)}\n`).join("");
  }

  #inWords(line: string, words: Words): string {
    let text = line
      .replaceAll(`${user}@${hostname()}`, `${user}@HOST`)
      .replaceAll(`${this.#options.directory}/`, "")
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/g, "TIME")
      .replace(/(Commit: )[0-9a-f]{7}/, "$1COMMIT")
      .replace(/\d+(d|h|min|s)( \d+(h|min|s))? (ago|more)/g, "SPAN $4")
      .replace(/\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ (\w+)\[\d+\]:/, "TIME HOST $1:");
    for (const { name, id } of this.#options.machines) {
      const word = words.machine(name);
      text = text
        .replaceAll(new RegExp(`${id.slice(0, 8)}\\.\\.\\.(/127\\.0\\.0\\.1)?( \\(${name}\\))?`, "g"), word)
        .replaceAll(new RegExp(`${id}(/127\\.0\\.0\\.1)?`, "g"), word);
    }
    return text;
  }
}

/** What stands for what differs. */
export interface Words {
  machine(name: string): string;
}

/** Which machine it is does not matter. */
export const anywhere: Words = { machine: () => "MACHINE" };
export const byName: Words = { machine: (name) => name };

interface Part {
  /** The line as it stands. */
  readonly head: string;
  /** What is typed; undefined: a remark. */
  readonly line: string | undefined;
  readonly isRepeated: boolean;
  readonly says: string;
}

function partsOf(transcript: string): readonly Part[] {
  const parts: { head: string; line: string | undefined; isRepeated: boolean; says: string }[] = [];
  for (const head of linesOf(transcript)) {
    const [, again, line] = /^\$(~?) (.*)$/.exec(head) ?? [];
    const last = parts.at(-1);
    if (line !== undefined) parts.push({ head, line, isRepeated: again === "~", says: "" });
    else if (last === undefined || head.startsWith("#")) {
      parts.push({ head, line: undefined, isRepeated: false, says: "" });
    } else last.says += `${head}\n`;
  }
  return parts;
}

function linesOf(text: string): readonly string[] {
  return text === "" ? [] : text.replace(/\n$/, "").split("\n");
}

/** A transcript stands indented in its test. */
function unindent(text: string): string {
  const lines = text.replace(/^\n/, "").replace(/\n *$/, "\n").split("\n");
  const depth = Math.min(...lines.filter((line) => line !== "").map((line) => /^ */.exec(line)?.[0].length ?? 0));
  return lines.map((line) => line.slice(depth)).join("\n");
}
