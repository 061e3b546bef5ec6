// A TCP proxy on loopback that can be cut: after so many bytes, or at once. For tests of broken connections.
import { once } from "node:events";
import { type Server, type Socket, connect as dial, createServer } from "node:net";

export class TcpProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Cut each connection when the server has sent this many bytes over it; Infinity: never. */
  cutAfterBytes = Infinity;
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
      client.pipe(target);
      target.on("data", (part: Buffer) => {
        bytes += part.length;
        if (bytes > this.cutAfterBytes) {
          this.cuts++;
          client.destroy();
        } else client.write(part);
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
