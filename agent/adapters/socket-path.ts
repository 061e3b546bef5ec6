// Paths of unix sockets have a bound that the kernel's interface enforces by cutting: say so instead (unix(7)). And whether
// there is a socket.
import { stat } from "node:fs/promises";
import { Problem } from "../domain/problem.ts";

/** sockaddr_un has 108 bytes for path and final NUL. */
const maxSocketPathBytes = 107;

/** Throws Problem "api-socket-path" when the path is longer than a unix socket's may be, or empty. */
export function checkSocketPath(path: string): void {
  if (path !== "" && !path.includes("\0") && Buffer.byteLength(path) <= maxSocketPathBytes) return;
  throw new Problem("api-socket-path", `Cannot use "${path}" as the path of a socket`, {
    hint: `It must have 1 to ${maxSocketPathBytes} bytes`,
  });
}

/** Whether a socket is there; what cannot be looked at is none. */
export async function hasSocket(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isSocket();
  } catch {
    return false; // missing, or out of reach: to a client that is the same
  }
}
