// Joins this process's standard input and output to a unix socket: the far end of a tunnel over ssh, which is bytes both ways.
import { once } from "node:events";
import { type Socket, connect } from "node:net";
import { finished, pipeline } from "node:stream/promises";
import { Problem } from "../../domain/problem.ts";
import { checkSocketPath } from "../socket-path.ts";

/**
 * Resolves when the socket's side has ended; the end of the input ends what is sent to it. Rejects with "agent-unreachable",
 * "api-socket-path".
 */
export async function forwardPipes(path: string, signal: AbortSignal): Promise<void> {
  checkSocketPath(path);
  const socket = await open(path);
  const { stdin, stdout } = process;
  const cut = (): void => void socket.destroy();
  signal.addEventListener("abort", cut, { once: true });
  // Whoever asked may still wait for an answer when it has said everything
  const said = pipeline(stdin, socket, { end: true }).catch(cut);
  try {
    socket.pipe(stdout, { end: false });
    stdout.once("error", cut); // the reader has gone
    await finished(socket, { readable: true, writable: false }).catch(() => undefined); // however it ended, it has
  } finally {
    signal.removeEventListener("abort", cut);
    socket.destroy();
    stdin.destroy(); // nothing is read any more, and nothing keeps the process alive
    await said;
  }
}

async function open(path: string): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true });
  try {
    await once(socket, "connect");
    return socket;
  } catch (error) {
    throw new Problem("agent-unreachable", `Cannot reach the agent on "${path}"`, {
      hint: "Is the agent running there, and may this user talk to it? --socket PATH names another socket",
      cause: error,
    });
  }
}
