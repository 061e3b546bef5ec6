// A D-Bus connection to systemd settles every call, whatever the other side does or leaves undone.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { type Server, type Socket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, afterEach, beforeEach, test } from "node:test";
import { Peer, PeerError } from "../../../agent/adapters/systemd/peer.ts";
import { unitPath } from "../../../agent/adapters/systemd/units.ts";
import { Problem, explainError } from "../../../agent/domain/problem.ts";

const ping = { path: "/", interface: "org.freedesktop.DBus.Peer", member: "Ping" };
const patience = (): AbortSignal => AbortSignal.timeout(10_000);
const unreachable = (error: unknown): boolean => error instanceof Problem && error.code === "systemd-unreachable";

/** How the other side of a connection behaves after the handshake; gets the serial of each request. */
type Side = (request: { readonly serial: number; readonly count: number }, socket: Socket) => void;

let folder: string;
let path: string;
let server: Server | undefined;
const sockets = new Set<Socket>();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "flotilla-"));
  path = join(folder, "s");
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  server = undefined;
  await rm(folder, { recursive: true, force: true });
});

/** `auth` is the answer to the handshake; "" is none, ever. */
async function listen(side: Side, auth = "OK 0123456789abcdef0123456789abcdef"): Promise<void> {
  server = createServer((socket) => {
    sockets.add(socket);
    let bytes = Buffer.alloc(0);
    let begun = false;
    let count = 0;
    socket.on("error", () => undefined);
    socket.on("data", (more) => {
      bytes = Buffer.concat([bytes, more]);
      if (!begun) {
        if (bytes.includes("AUTH") && !bytes.includes("BEGIN") && auth !== "") socket.write(`${auth}\r\n`);
        const at = bytes.indexOf("BEGIN\r\n");
        if (at < 0) return;
        begun = true;
        bytes = bytes.subarray(at + 7);
      }
      while (bytes.length >= 16) {
        const length = 16 + Math.ceil(bytes.readUInt32LE(12) / 8) * 8 + bytes.readUInt32LE(4);
        if (bytes.length < length) return;
        const serial = bytes.readUInt32LE(8);
        bytes = bytes.subarray(length);
        side({ serial, count: ++count }, socket);
      }
    });
  });
  await new Promise<void>((resolve) => server?.listen(path, resolve));
}

/** An error reply without a text, as bytes (D-Bus specification, message format). */
function errorReply(serial: number, name = "org.example.No"): Buffer {
  const text = Buffer.from(`${name}\0`);
  const fields = Buffer.alloc(16 + text.length);
  fields.write("\x05\x01u\0", 0, "latin1");
  fields.writeUInt32LE(serial, 4);
  fields.write("\x04\x01s\0", 8, "latin1");
  fields.writeUInt32LE(name.length, 12);
  text.copy(fields, 16);
  const head = Buffer.from([0x6c, 3, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
  head.writeUInt32LE(fields.length, 12);
  return Buffer.concat([head, fields, Buffer.alloc((8 - (fields.length % 8)) % 8)]);
}

const answer: Side = ({ serial }, socket) => void socket.write(errorReply(serial));

test("Hello that is answered by an error means the private socket, where calls go on", async () => {
  await listen(answer);
  const peer = await Peer.connect(path, patience());
  assert.equal(peer.bus, false);
  await assert.rejects(peer.call(ping), (error) => error instanceof PeerError && error.type === "org.example.No");
  peer.close();
  assert.ok((await peer.closed) instanceof Error);
});

test("a first request that the other side sits on until there is more is got out by a nudge", async () => {
  const held: number[] = [];
  await listen(({ serial, count }, socket) => {
    held.push(serial);
    if (count > 1) for (const each of held.splice(0)) socket.write(errorReply(each));
  });
  const peer = await Peer.connect(path, patience());
  peer.close();
});

test("calls that wait when the connection dies are rejected, and later ones too", async () => {
  await listen(({ serial, count }, socket) => {
    if (count === 1) socket.write(errorReply(serial));
    if (count === 4) socket.destroy();
  });
  const peer = await Peer.connect(path, patience());
  const calls = [peer.call(ping), peer.call(ping), peer.call(ping)];
  for (const call of calls) await assert.rejects(call, unreachable);
  await assert.rejects(peer.call(ping), unreachable);
  assert.match((await peer.closed).message, /closed/);
});

const noMessages: readonly { what: string; bytes: Buffer }[] = [
  { what: "a signature that is none", bytes: errorReply(2).fill("!", 26, 27) },
  {
    what: "a length above D-Bus' own bound",
    bytes: Buffer.from("l\x02\0\x01\xff\xff\xff\x7f\x02\0\0\0\0\0\0\0", "latin1"),
  },
  {
    what: "header fields that are longer than any",
    bytes: Buffer.from("l\x02\0\x01\0\0\0\0\x02\0\0\0\0\0\x10\0", "latin1"),
  },
  { what: "another version of the protocol", bytes: errorReply(2).fill(2, 3, 4) },
  { what: "an order of bytes that is none", bytes: errorReply(2).fill("x", 0, 1) },
  { what: "a message of nothing", bytes: Buffer.from("l\x02\0\x01\0\0\0\0\x02\0\0\0\0\0\0\0", "latin1") },
];
for (const { what, bytes } of noMessages) {
  test(`bytes with ${what} end the connection, and not the process`, { timeout: 10_000 }, async () => {
    await listen(({ serial, count }, socket) => void socket.write(count === 1 ? errorReply(serial) : bytes));
    const peer = await Peer.connect(path, patience());
    await assert.rejects(peer.call(ping), unreachable);
    assert.ok((await peer.closed) instanceof Error);
  });
}

/** A signal without a body: whoever hears it knows that its piece of bytes has come. */
function signalBytes(): Buffer {
  const texts = [
    ["\x01\x01o\0", "/"],
    ["\x02\x01s\0", "org.example.Some"],
    ["\x03\x01s\0", "Thing"],
  ] as const;
  const fields = texts.map(([kind, text]) => {
    const field = Buffer.alloc(8 + Math.ceil((text.length + 1) / 8) * 8);
    field.write(kind, 0, "latin1");
    field.writeUInt32LE(text.length, 4);
    field.write(text, 8, "latin1");
    return field;
  });
  const head = Buffer.from([0x6c, 4, 1, 1, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
  head.writeUInt32LE(Buffer.concat(fields).length, 12);
  return Buffer.concat([head, ...fields]);
}

/** Each request after the Hello is answered by the next piece, behind a signal; from the answer to the Hello on time is the test's. */
async function inPieces(t: TestContext, pieces: (serial: number) => readonly Buffer[]): Promise<Peer> {
  let left: Buffer[] | undefined;
  await listen(({ serial, count }, socket) => {
    if (count === 1) {
      socket.write(errorReply(serial));
      return;
    }
    left ??= [...pieces(serial)];
    const piece = left.shift();
    if (piece !== undefined) socket.write(piece);
  });
  const peer = await Peer.connect(path, patience());
  t.mock.timers.enable({ apis: ["setTimeout"] });
  return peer;
}

async function nextSignal(peer: Peer): Promise<void> {
  await new Promise<void>((resolve) => {
    peer.onSignal = () => resolve();
  });
}

async function isOpen(peer: Peer): Promise<boolean> {
  const open = new Promise<boolean>((resolve) => setImmediate(() => resolve(true)));
  return Promise.race([peer.closed.then(() => false), open]);
}

const unfinished: readonly { what: string; bytes: Buffer }[] = [
  { what: "a header is cut off", bytes: errorReply(2).subarray(0, 8) },
  { what: "only the header comes", bytes: errorReply(2).subarray(0, 16) },
  { what: "the fields are cut off", bytes: errorReply(2).subarray(0, 20) },
  { what: "a damaged length promises a hundred megabytes", bytes: errorReply(2).fill(6, 7, 8) },
];
for (const { what, bytes } of unfinished) {
  test(`the connection is given up long before its calls are, when ${what}`, async (t) => {
    const peer = await inPieces(t, () => [Buffer.concat([signalBytes(), bytes])]);
    const heard = nextSignal(peer);
    const call = peer.call(ping).catch((error: unknown) => error);
    await heard;
    t.mock.timers.tick(29_999);
    assert.equal(await isOpen(peer), true);
    t.mock.timers.tick(1);
    assert.equal(await isOpen(peer), false);
    assert.match((await peer.closed).message, /did not end a message within 30000 ms/);
    assert.ok(unreachable(await call));
  });
}

test("a message that comes in pieces is read, and each has its own time", async (t) => {
  const peer = await inPieces(t, (serial) => {
    const [reply, signal] = [errorReply(serial), signalBytes()];
    return [
      Buffer.concat([signal, reply.subarray(0, 20)]),
      Buffer.concat([reply.subarray(20), signal, signal.subarray(0, 10)]),
      signal.subarray(10),
    ];
  });
  const heard = nextSignal(peer);
  const first = peer.call(ping).catch((error: unknown) => error);
  await heard;
  for (let piece = 1; piece <= 2; piece++) {
    t.mock.timers.tick(29_000);
    assert.equal(await isOpen(peer), true);
    const next = nextSignal(peer);
    peer.call(ping).catch(() => undefined); // it ends as the first one does
    await next;
  }
  assert.ok((await first) instanceof PeerError);
  t.mock.timers.tick(31_000);
  assert.equal(await isOpen(peer), true, "nothing is under way");
  peer.close();
});

const failures: readonly { what: string; begin: () => Promise<void>; cause: RegExp }[] = [
  { what: "there is no socket", begin: async () => undefined, cause: /ENOENT/ },
  { what: "the handshake is refused", begin: () => listen(answer, "REJECTED EXTERNAL"), cause: /authentication/i },
  {
    what: "the other side hangs up at once",
    begin: () => listen((_, socket) => void socket.destroy()),
    cause: /closed/,
  },
];
for (const { what, begin, cause } of failures) {
  test(`connecting fails in words when ${what}`, async () => {
    await begin();
    await assert.rejects(Peer.connect(path, patience()), (error) => {
      assert.ok(unreachable(error));
      assert.match(explainError(error), cause);
      return true;
    });
  });
}

for (const auth of ["", "OK 0123456789abcdef0123456789abcdef"]) {
  test(`connecting can be given up while ${auth === "" ? "the handshake" : "the answer to Hello"} is waited for`, async () => {
    const over = new AbortController();
    await listen(() => over.abort(new Error("Enough")), auth);
    const connecting = Peer.connect(path, over.signal);
    if (auth === "") {
      await new Promise((resolve) => server?.once("connection", resolve));
      over.abort(new Error("Enough"));
    }
    await assert.rejects(connecting, (error) => error instanceof Problem && error.code === "aborted");
  });
}

test("object paths are escaped as systemd does", () => {
  const cases = [
    ["fl-b@1.service", "fl_2db_401_2eservice"],
    ["1a.service", "_31a_2eservice"],
    ["ä.service", "_c3_a4_2eservice"],
  ] as const;
  for (const [name, escaped] of cases) assert.equal(unitPath(name), `/org/freedesktop/systemd1/unit/${escaped}`);
});
