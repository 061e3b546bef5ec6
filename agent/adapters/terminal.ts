// The process's own outputs, signals and version, for the commands. A reader that goes away (a closed pipe) is an answer
// to a write, never an uncaught error.
import type { WriteStream } from "node:tty";
import { Problem } from "../domain/problem.ts";

/** Put in by the build; a run straight from the source has none. */
declare const FLOTILLA_VERSION: string | undefined;

export function programVersion(): string {
  return typeof FLOTILLA_VERSION === "string" ? FLOTILLA_VERSION : "0.0.0-source";
}

export interface Terminal {
  readonly isTerminal: boolean;
  size(): { readonly columns: number; readonly rows: number } | undefined;
  write(text: string): Promise<void>;
}

/** An output of the process, as cli/tools.ts asks for it. */
export function createTerminal(stream: NodeJS.WriteStream): Terminal {
  // Errors come back through the callback of each write; without a listener they would end the process as well
  stream.on("error", () => undefined);
  return {
    // `isTTY` is undefined, not false, where there is none
    isTerminal: (stream as { readonly isTTY?: boolean }).isTTY === true,
    size: () => {
      const { columns, rows } = stream as Partial<WriteStream>;
      return columns === undefined || rows === undefined ? undefined : { columns, rows };
    },
    write: (text) =>
      new Promise((resolve, reject) => {
        stream.write(text, (error) => {
          if (error === undefined || error === null) resolve();
          else reject(writeProblem(error));
        });
      }),
  };
}

function writeProblem(error: Error): Problem {
  const code = "code" in error ? error.code : undefined;
  const closed = code === "EPIPE" || code === "ERR_STREAM_DESTROYED";
  return new Problem(closed ? "output-closed" : "output-failed", "Cannot write the output", { cause: error });
}

/** Aborted by the first SIGINT, SIGTERM or SIGHUP; a second one ends the process as it would without us. */
export function endSignal(): AbortSignal {
  const over = new AbortController();
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const end = (): void => {
    for (const signal of signals) process.off(signal, end);
    over.abort(new Problem("aborted", "Cannot go on: it was told to end"));
  };
  for (const signal of signals) process.on(signal, end);
  return over.signal;
}
