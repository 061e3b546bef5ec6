// What packs unpack to, told without unpacking them: packs made by hand, true ones and such as lie.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { deflateSync } from "node:zlib";
import { type PackBounds, measurePack } from "../../../agent/adapters/git/pack.ts";

const bounds: PackBounds = { object: 1_000_000, largeResult: 10_000, largeResults: 100_000, all: 3_000_000 };
const wide: PackBounds = { object: 1e12, largeResult: 1e12, largeResults: 1e12, all: 1e12 };
const blob = 3;
const ofsDelta = 6;
const refDelta = 7;

/** The lowest seven bits first. */
function groups(size: number): number[] {
  return size < 128 ? [size] : [128 + (size % 128), ...groups(Math.floor(size / 128))];
}

function head(kind: number, size: number): Buffer {
  const low = kind * 16 + (size % 16);
  return Buffer.from(size < 16 ? [low] : [128 + low, ...groups(Math.floor(size / 16))]);
}

/** `declared`: what the head says, when that is not so. `base` stands between the head and the data. */
function entry(data: Uint8Array, more: { kind?: number; declared?: number; base?: Uint8Array; level?: number } = {}) {
  const { kind = blob, declared = data.length, base = Buffer.alloc(0), level = 6 } = more;
  return Buffer.concat([head(kind, declared), base, deflateSync(data, { level })]);
}

/** A delta that copies 64 KiB from its base's beginning as often as it takes. */
function delta(baseSize: number, resultSize: number): Buffer {
  const copies = Array.from({ length: Math.min(100, Math.ceil(resultSize / 65_536)) }, () => 0x80);
  return Buffer.from([...groups(baseSize), ...groups(resultSize), ...copies]);
}

const before = { ofs: Uint8Array.of(0x81, 0x05), id: Buffer.alloc(20, 0xab) };

/** A pack in packets of `packet` bytes, between a NAK, progress, and the flush at the end. */
function answer(entries: readonly Buffer[], more: { count?: number; packet?: number; cut?: number } = {}): Buffer {
  const { count = entries.length, packet = 65_515, cut = 0 } = more;
  const header = Buffer.from("PACK\0\0\0\x02\0\0\0\0", "latin1");
  header.writeUInt32BE(count, 8);
  const pack = Buffer.concat([header, ...entries, ...(cut > 0 ? [] : [Buffer.alloc(20)])]);
  return packets(pack.subarray(0, pack.length - cut), packet);
}

function packets(pack: Buffer, packet: number): Buffer {
  const parts = [Buffer.from("0008NAK\n"), line(2, Buffer.from("Counting objects\n"))];
  for (let at = 0; at < pack.length; at += packet) parts.push(line(1, pack.subarray(at, at + packet)), line(2, empty));
  return Buffer.concat([...parts, Buffer.from("0000")]);
}

const empty = Buffer.alloc(0);

function line(band: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from((bytes.length + 5).toString(16).padStart(4, "0")), Uint8Array.of(band), bytes]);
}

async function measure(bytes: Buffer, within = bounds, signal = new AbortController().signal) {
  return await measurePack(bytes, { bounds: within, signal });
}

/** Does not compress. */
function noise(bytes: number): Buffer {
  const made = Buffer.alloc(bytes);
  for (let at = 0, seed = 1; at < bytes; at++)
    made[at] = (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) >> 24;
  return made;
}

suite("git packs: what they unpack to", () => {
  const text = Buffer.from("[Service]\nExecStart=/bin/true\n");
  const usual = [
    entry(text),
    entry(empty),
    entry(noise(300_000)),
    entry(Buffer.alloc(300_000)),
    entry(noise(9_000), { level: 0 }),
    entry(delta(text.length, 40), { kind: ofsDelta, base: before.ofs }),
    entry(delta(text.length, 9_000), { kind: refDelta, base: before.id }),
    entry(Buffer.concat([delta(300_000, 500_000), noise(200_000)]), { kind: ofsDelta, base: before.ofs }),
    entry(text),
  ];

  for (const packet of [1, 7, 1_000, 65_515])
    test(`objects of all kinds, in packets of ${packet}`, { timeout: 60_000 }, async () => {
      assert.equal(await measure(answer(usual, { packet }), { ...bounds, largeResults: 500_000 }), undefined);
      // All of them are seen: the last one is what goes beyond
      const { length } = usual;
      const more = answer([...usual.slice(0, -1), entry(Buffer.alloc(1_000_001))], { packet, count: length });
      const excess = await measure(more, { ...bounds, largeResults: 500_000 });
      assert.deepEqual(excess, { bound: "object", largest: 1_000_001 });
    });

  test("nothing: no pack, or one without objects", async () => {
    assert.equal(await measure(Buffer.from("0008NAK\n0000")), undefined);
    assert.equal(await measure(answer([])), undefined);
  });

  test("one object beyond the bound, by what its head says: its data is not read", async () => {
    const excess = await measure(answer([entry(text), head(blob, 1024 ** 3)]));
    assert.deepEqual(excess, { bound: "object", largest: 1024 ** 3 });
    const huge = await measure(answer([head(blob, 2 ** 40 + 5)]));
    assert.deepEqual(huge, { bound: "object", largest: 2 ** 40 + 5 }, "also where 32 bits would be small");
  });

  for (const [name, more] of Object.entries({
    "an ofs-delta": { kind: ofsDelta, base: before.ofs },
    "a ref-delta": { kind: refDelta, base: before.id },
  }))
    test(`${name} of a few bytes that copies its base many times`, async () => {
      assert.deepEqual(await measure(answer([entry(text), entry(delta(65_536, 1_000_001), more)])), {
        bound: "object",
        largest: 1_000_001,
      });
    });

  test("many results of deltas: large ones have a bound of their own", async () => {
    const made = (size: number) => entry(delta(65_536, size), { kind: ofsDelta, base: before.ofs });
    const large = Array.from({ length: 11 }, () => made(10_001));
    assert.deepEqual(await measure(answer(large)), { bound: "largeResults", largest: 10_001 });
    assert.equal(await measure(answer(large.slice(0, 9))), undefined);
    const small = Array.from({ length: 200 }, () => made(10_000));
    assert.equal(await measure(answer(small)), undefined);
    assert.deepEqual(await measure(answer([...small, ...small])), { bound: "all", largest: 10_000 });
  });

  test("many objects", async () => {
    const each = entry(Buffer.alloc(900_000));
    assert.equal(await measure(answer([each, each, each])), undefined);
    assert.deepEqual(await measure(answer([each, each, each, each])), { bound: "all", largest: 900_000 });
  });

  test("cut short, anywhere", async () => {
    const whole = answer(usual, { cut: 1 });
    await assert.rejects(measure(whole, wide), /cut short|unexpected end/);
    await assert.rejects(measure(answer([entry(text)], { count: 2 }), wide), Error, "fewer objects than it says");
    const pack = Buffer.concat([
      Buffer.from("PACK\0\0\0\x02\0\0\0\x02", "latin1"),
      usual[0] ?? empty,
      usual[6] ?? empty,
    ]);
    for (let length = 1; length < pack.length; length++)
      await assert.rejects(measure(packets(pack.subarray(0, length), 10), wide), Error, `${length} bytes`);
    await assert.doesNotReject(measure(packets(pack, 10), wide));
  });

  test("sizes that lie", async () => {
    for (const size of [50, 500_000]) {
      const data = Buffer.alloc(size, "ab");
      await assert.rejects(measure(answer([entry(data, { declared: size - 1 })])), /more bytes than the/);
      await assert.rejects(measure(answer([entry(data, { declared: size + 1 })])), /fewer bytes than the/);
      await assert.rejects(measure(answer([entry(data, { declared: 0 })])), /more bytes than the 0/);
    }
    await assert.rejects(measure(answer([Buffer.alloc(20, 0xbf)])), /a number without an end/);
    await assert.rejects(measure(answer([entry(Uint8Array.of(5), { kind: ofsDelta, base: before.ofs })])), /cut short/);
  });

  test("what is no pack", async () => {
    await assert.rejects(measure(packets(Buffer.from("<html>and so on"), 100)), /something else than a pack/);
    for (const kind of [0, 5]) await assert.rejects(measure(answer([entry(text, { kind })])), /of kind/);
    const broken = Buffer.from(usual[2] ?? empty);
    broken.fill(0xff, 10, 200);
    await assert.rejects(measure(answer([broken])), Error);
  });

  test("a zip bomb behind a small size is left as soon as it says more", { timeout: 20_000 }, async () => {
    const bomb = deflateSync(Buffer.alloc(256 * 1024 ** 2), { level: 9 });
    const peak = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
    for (const declared of [10, 900_000]) {
      const beforeKb = peak();
      const startedMs = performance.now();
      await assert.rejects(measure(answer([Buffer.concat([head(blob, declared), bomb])])), /more bytes than the/);
      assert.ok(performance.now() - startedMs < 1_000, `${performance.now() - startedMs} ms`);
      assert.ok(peak() - beforeKb < 32 * 1024, `${peak() - beforeKb} kB`);
    }
  });

  test("what is true and large is thrown away as it comes", { timeout: 20_000 }, async () => {
    const size = 256 * 1024 ** 2;
    const bytes = answer([entry(Buffer.alloc(size)), entry(text)]);
    assert.equal(await measure(bytes, wide), undefined);
    assert.deepEqual(await measure(bytes, { ...wide, all: size }), { bound: "all", largest: size });
  });

  test("leaves the thread to others, and ends when it is called off", async () => {
    const controller = new AbortController();
    const many = answer(Array.from({ length: 5_000 }, () => entry(text)));
    const measured = measure(many, wide, controller.signal);
    setImmediate(() => controller.abort(new Error("called off")));
    await assert.rejects(measured, /called off/);
  });
});
