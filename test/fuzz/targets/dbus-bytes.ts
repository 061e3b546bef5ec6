// The bytes that come over a D-Bus connection, after its handshake: messages that the other side never would send.
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type Socket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { reach } from "../../../agent/adapters/systemd/calls.ts";
import { Peer, PeerError } from "../../../agent/adapters/systemd/peer.ts";
import type { Problem } from "../../../agent/domain/problem.ts";
import { type Target, problemsOf } from "../target.ts";

const folder = mkdtempSync(join(tmpdir(), "flotilla-fuzz-"));
const path = join(folder, "s");
const sockets = new Set<Socket>();
let answers: Uint8Array = new Uint8Array();

/** The Hello is answered as systemd's private socket does; the next request gets the input and then the end. */
const server = createServer((socket) => {
  let bytes = Buffer.alloc(0);
  let isOpen = false;
  let asked = 0;
  sockets.add(socket);
  socket.on("close", () => sockets.delete(socket));
  socket.on("error", () => undefined); // the reader has closed it: that is its right
  socket.on("data", (more: Buffer) => {
    bytes = Buffer.concat([bytes, more]);
    if (!isOpen) {
      if (bytes.includes("AUTH") && !bytes.includes("BEGIN")) socket.write("OK 0123456789abcdef0123456789abcdef\r\n");
      const at = bytes.indexOf("BEGIN\r\n");
      if (at < 0) return;
      isOpen = true;
      bytes = bytes.subarray(at + 7);
    }
    while (bytes.length >= 16) {
      const length = 16 + Math.ceil(bytes.readUInt32LE(12) / 8) * 8 + bytes.readUInt32LE(4);
      if (bytes.length < length) return;
      const serial = bytes.readUInt32LE(8);
      bytes = bytes.subarray(length);
      if (asked++ === 0) socket.write(errorReply(serial));
      else socket.end(answers);
    }
  });
});
server.listen(path);
await once(server, "listening");

/** An error reply without a text (D-Bus specification, message format). */
function errorReply(serial: number): Buffer {
  const text = Buffer.from("org.example.No\0");
  const fields = Buffer.alloc(16 + text.length);
  fields.write("\x05\x01u\0", 0, "latin1");
  fields.writeUInt32LE(serial, 4);
  fields.write("\x04\x01s\0", 8, "latin1");
  fields.writeUInt32LE(text.length - 1, 12);
  text.copy(fields, 16);
  const head = Buffer.from([0x6c, 3, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
  head.writeUInt32LE(fields.length, 12);
  return Buffer.concat([head, fields, Buffer.alloc((8 - (fields.length % 8)) % 8)]);
}

export const target: Target = {
  name: "dbus-bytes",
  reads: "bytes of a D-Bus connection",
  maxBytes: 64 * 1024,
  words: [
    "l\x02\x00\x01",
    "B\x04\x00\x01",
    "\x05\x01u\0\x02\0\0\0",
    "\x08\x01g\0\x01s\0\0",
    "a{sv}",
    "(ssssssouso)",
    "\x01\x01o\0",
    "v",
  ],
  async run(input) {
    answers = input;
    const problems: Problem[] = [];
    let signals = 0;
    let outcome = "lost";
    try {
      const peer = await Peer.connect(path, new AbortController().signal);
      peer.onSignal = () => {
        signals++;
      };
      try {
        await reach("an answer", () =>
          peer.call({ path: "/", interface: "org.freedesktop.DBus.Peer", member: "Ping" }),
        );
        outcome = "answered";
      } finally {
        peer.close();
      }
    } catch (error) {
      problems.push(...problemsOf(error));
      if (problems.some(({ cause }) => cause instanceof PeerError)) outcome = "refused";
    }
    return { outcome: signals > 0 ? `${outcome}, signalled` : outcome, problems };
  },
  async close() {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true, force: true });
  },
};
