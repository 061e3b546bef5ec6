// Runs a program that this process waits for: captured, line by line, or with this process's own terminal. Its words go to it
// as they are; no shell is in between. Given to shell.ts.
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import type { Readable } from "node:stream";
import { Problem } from "../../domain/problem.ts";
import { type Captured, type Words, maxCapturedBytes } from "../../ports/machine-shell.ts";

/** What is told to end and does not is killed after this long. */
const endMs = 2_000;
/** A longer line is handed on in parts. */
const maxLineChars = 64 * 1024;

export interface Program {
  readonly words: Words;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal | undefined;
  /** How to get the program, where it is missing. */
  readonly hint: string;
  /** Code of the problem when it is: "ssh-missing", "shell-missing". */
  readonly missing: string;
}

/** Without input. More than `maxCapturedBytes` of an output ends it: Problem "shell-output". */
export async function captureProgram(program: Program): Promise<Captured> {
  const child = await start(program, ["ignore", "pipe", "pipe"]);
  const over = new AbortController();
  const [stdout, stderr, status] = await Promise.all([
    gather(child, child.stdout, over),
    gather(child, child.stderr, over),
    statusOf(child, program),
  ]);
  if (over.signal.aborted) {
    throw new Problem(
      "shell-output",
      `Cannot keep what ${program.words[0]} says: it is more than ${maxCapturedBytes} bytes`,
    );
  }
  return { status, stdout, stderr };
}

/** Without input; lines in the order in which they come. */
export async function streamProgram(
  program: Program,
  line: (text: string, from: "stdout" | "stderr") => Promise<void>,
): Promise<number> {
  const child = await start(program, ["ignore", "pipe", "pipe"]);
  const status = statusOf(child, program);
  // It may end while whoever takes the lines is still at the last one; why is told by the wait for it below
  status.catch(() => undefined);
  try {
    await Promise.all([
      eachLine(child.stdout, (text) => line(text, "stdout")),
      eachLine(child.stderr, (text) => line(text, "stderr")),
    ]);
  } catch (error) {
    // Whoever took the lines takes no more: the program has nobody to speak to
    cutOff(child);
    await status.catch(() => undefined); // why it ended is known
    throw error;
  }
  return status;
}

/** With the terminal or the pipes of this process. */
export async function attachProgram(program: Program): Promise<number> {
  const child = await start(program, "inherit");
  return statusOf(child, program);
}

/** A program that is spoken to through its input and output; what it says on stderr is this process's. */
export async function openProgram(program: Program): Promise<ChildProcess> {
  return start(program, ["pipe", "pipe", "inherit"]);
}

async function start(
  { words, env, missing, hint, signal }: Program,
  stdio: SpawnOptions["stdio"],
): Promise<ChildProcess> {
  if (signal?.aborted === true) throw given(words[0]);
  const [command, ...args] = words;
  const child = spawn(command, args, { env: { ...env }, stdio });
  try {
    await once(child, "spawn");
    return child;
  } catch (error) {
    throw new Problem(missing, `Cannot start ${command}`, { hint, cause: error });
  }
}

/** Resolves with its status as a shell would say it. Rejects with "aborted" once it has ended because of the signal. */
async function statusOf(child: ChildProcess, { signal, words }: Program): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const end = (): void => {
    cutOff(child);
    timer = setTimeout(() => child.kill("SIGKILL"), endMs);
  };
  signal?.addEventListener("abort", end, { once: true });
  if (signal?.aborted === true) end();
  try {
    const [code, name] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
    if (signal?.aborted === true) throw given(words[0]);
    return code ?? 128 + (name === null ? 0 : constants.signals[name]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", end);
  }
}

/** With its outputs, which programs that it has started may hold open after it: they end when nobody hears them. */
function cutOff(child: ChildProcess): void {
  const close = (): void => {
    child.stdout?.destroy();
    child.stderr?.destroy();
  };
  if (child.exitCode !== null || child.signalCode !== null) {
    close();
    return;
  }
  child.once("exit", close);
  child.kill("SIGTERM");
}

/** An output that was cut off has ended. */
async function* chunksOf<T extends Buffer | string>(stream: Readable | null): AsyncGenerator<T> {
  try {
    for await (const chunk of (stream ?? []) as AsyncIterable<T>) yield chunk;
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ERR_STREAM_PREMATURE_CLOSE")) throw error;
  }
}

async function gather(child: ChildProcess, stream: Readable | null, over: AbortController): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of chunksOf<Buffer>(stream)) {
    bytes += chunk.length;
    if (bytes <= maxCapturedBytes) chunks.push(chunk);
    else if (!over.signal.aborted) {
      over.abort();
      cutOff(child);
    }
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function eachLine(stream: Readable | null, take: (line: string) => Promise<void>): Promise<void> {
  stream?.setEncoding("utf8");
  let rest = "";
  for await (const chunk of chunksOf<string>(stream)) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) await take(part);
    while (rest.length > maxLineChars) {
      await take(rest.slice(0, maxLineChars));
      rest = rest.slice(maxLineChars);
    }
  }
  if (rest !== "") await take(rest);
}

function given(command: string): Problem {
  return new Problem("aborted", `Cannot wait for ${command}: it was given up`);
}
