// A name server on a loopback port, for tests: SRV and A records that a test gives it, over UDP, and nothing else (RFC 1035).
import { type Socket, createSocket } from "node:dgram";
import { once } from "node:events";

const typeA = 1;
const typeSrv = 33;
const noSuchName = 3;

export class NameServer {
  readonly services = new Map<string, readonly { readonly host: string; readonly port: number }[]>();
  readonly addresses = new Map<string, readonly string[]>();
  /** When set, every question is answered with this code: 2 is a server in trouble. */
  failure: number | undefined;
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (question, { port, address }) => socket.send(this.#answer(question), port, address));
  }

  static async start(): Promise<NameServer> {
    const socket = createSocket("udp4").bind(0, "127.0.0.1");
    await once(socket, "listening");
    return new NameServer(socket);
  }

  /** ADDRESS:PORT. */
  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  async close(): Promise<void> {
    this.#socket.close();
    await once(this.#socket, "close");
  }

  #answer(question: Buffer): Buffer {
    const labels: string[] = [];
    let at = 12;
    for (let length = question[at] ?? 0; length > 0; length = question[at] ?? 0) {
      labels.push(question.toString("latin1", at + 1, at + 1 + length));
      at += 1 + length;
    }
    const end = at + 5;
    const name = labels.join(".").toLowerCase();
    const type = question.readUInt16BE(at + 1);
    const records = this.failure === undefined ? this.#records(name, type) : [];
    const isKnown = this.services.has(name) || this.addresses.has(name);
    const code = this.failure ?? (isKnown ? 0 : noSuchName);
    const header = Buffer.alloc(12);
    question.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | code, 2); // an answer, recursion asked for and available
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    const answers = records.map((data) => {
      const head = Buffer.alloc(12);
      head.writeUInt16BE(0xc00c, 0); // the name of the question
      head.writeUInt16BE(type, 2);
      head.writeUInt16BE(1, 4);
      head.writeUInt16BE(data.length, 10);
      return Buffer.concat([head, data]);
    });
    return Buffer.concat([header, question.subarray(12, end), ...answers]);
  }

  #records(name: string, type: number): readonly Buffer[] {
    if (type === typeA)
      return (this.addresses.get(name) ?? []).map((address) => Buffer.from(address.split(".").map(Number)));
    if (type !== typeSrv) return [];
    return (this.services.get(name) ?? []).map(({ host, port }) => {
      const head = Buffer.alloc(6);
      head.writeUInt16BE(port, 4);
      const target = host.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
      return Buffer.concat([head, ...target, Buffer.from([0])]);
    });
  }
}
