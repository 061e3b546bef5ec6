// A log that goes to a file of its own: for agents whose stderr belongs to somebody else's story.
import { createWriteStream } from "node:fs";
import type { Log } from "../ports/log.ts";
import { createLog, streamWriter } from "./log.ts";

/** Appends to `path`, mode 0600; the file is opened with the first line, its folder must be there by then. */
export function createFileLog(path: string): Log {
  let write: ((line: string) => void) | undefined;
  return createLog({
    level: "info",
    format: "text",
    write: (line) => {
      write ??= streamWriter(createWriteStream(path, { flags: "a", mode: 0o600 }));
      write(line);
    },
  });
}
