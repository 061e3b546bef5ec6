// Who asks: the person behind a command, as the cluster's events and holds name them. For people, never for a decision.
import { hostname, userInfo } from "node:os";
import { type Person, maxPersonChars } from "../domain/submitted.ts";

/** `user@host`: behind sudo the one who called it; else $USER, $LOGNAME, or the name of this process's user. */
export function whoAsks(env: Readonly<Record<string, string | undefined>> = process.env): Person {
  const named = [env["SUDO_USER"], env["USER"], env["LOGNAME"]].find((name) => name !== undefined && name !== "");
  return printable(`${named ?? userName()}@${hostname()}`);
}

/** A container may run as a user that has no name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? "unknown"); // the number is what is known of it
  }
}

/** As it goes into a header: ASCII without control characters, bounded. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, maxPersonChars);
}
