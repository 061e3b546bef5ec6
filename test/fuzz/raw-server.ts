// A server that says what an input says, whatever it is asked: each connection gets the next answer, byte for byte, and ends.
import { once } from "node:events";
import { type Socket, createServer } from "node:net";

export interface RawServer {
  readonly port: number;
  /** What is said from now on; after the last answer the first one again. */
  answers: readonly Uint8Array[];
  close(): Promise<void>;
}

export async function startRawServer(): Promise<RawServer> {
  const sockets = new Set<Socket>();
  let answers: readonly Uint8Array[] = [];
  let next = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined); // the reader has closed it: that is its right
    socket.once("data", () => socket.end(answers[next++ % Math.max(1, answers.length)] ?? new Uint8Array()));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    set answers(said: readonly Uint8Array[]) {
      answers = said;
      next = 0;
    },
    get answers() {
      return answers;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The first line, which says who is asked; behind it the answers, with "=== " on a line of its own between them. */
export function answersIn(input: Uint8Array): { readonly whom: string; readonly answers: readonly Uint8Array[] } {
  const text = Buffer.from(input).toString("latin1");
  const end = text.indexOf("\n");
  const parts = end < 0 ? [] : text.slice(end + 1).split("=== \n");
  return { whom: text.slice(0, Math.max(0, end)), answers: parts.map((part) => Buffer.from(part, "latin1")) };
}
