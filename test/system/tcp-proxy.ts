// A TCP proxy on loopback that can be cut, after so many bytes or at once, and that can be late. For tests of bad connections.
import { once } from "node:events";
import { type Server, type Socket, connect as dial, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export class TcpProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Cut each connection when the server has sent this many bytes over it; Infinity: never. */
  cutAfterBytes = Infinity;
  /** How late everything is that comes from now on, each way. New connections are taken at once. */
  delayMs = 0;
  /** Connections cut so far. */
  cuts = 0;

  static async start(targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  private constructor(targetPort: number) {
    this.#server = createServer((client) => {
      const target = dial(targetPort, "127.0.0.1");
      let bytes = 0;
      for (const socket of [client, target]) {
        this.#sockets.add(socket);
        socket.on("error", () => socket.destroy()); // the other end sees the connection go, which is what is tested
        socket.on("close", () => {
          this.#sockets.delete(socket);
          client.destroy();
          target.destroy();
        });
      }
      this.#carry(client, (part) => target.write(part));
      this.#carry(target, (part) => {
        bytes += part.length;
        if (bytes > this.cutAfterBytes) {
          this.cuts++;
          client.destroy();
        } else client.write(part);
      });
    });
  }

  /** In the order in which it came, whatever the delay becomes meanwhile. */
  #carry(from: Socket, write: (part: Buffer) => void): void {
    let last = Promise.resolve();
    from.on("data", (part: Buffer) => {
      const dueMs = performance.now() + this.delayMs;
      last = last.then(async () => {
        const leftMs = dueMs - performance.now();
        if (leftMs > 0) await sleep(leftMs);
        if (!from.destroyed) write(part);
      });
    });
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("The proxy does not listen");
    return `http://localhost:${address.port}`;
  }

  /** Ends all connections; new ones are taken. */
  cut(): void {
    this.cuts++;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
