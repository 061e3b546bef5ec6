// What a pack unpacks to, measured before the git library unpacks it: a file of a gigabyte of zeros travels as one megabyte, and
// the library holds each object whole, several times over. Given to store.ts. Formats: gitformat-pack(5), gitprotocol-pack(5).
import { Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { createInflate, inflateSync } from "node:zlib";
import { errorCode } from "./failures.ts";

/** What the objects of one pack may unpack to, in bytes. Of a delta both it and what it makes of its base count. */
export interface PackBounds {
  /** One object. */
  readonly object: number;
  /** All that deltas make, where one of them makes more than `largeResult`. */
  readonly largeResults: number;
  readonly largeResult: number;
  /** All objects. */
  readonly all: number;
}

export interface Excess {
  readonly bound: "object" | "largeResults" | "all";
  /** Size of the largest object up to there. */
  readonly largest: number;
}

const offsetDelta = 6;
const idDelta = 7;
/** Commits, trees, blobs and tags are 1 to 4. */
const kinds = new Set([1, 2, 3, 4, offsetDelta, idDelta]);
const packHeaderBytes = 12;
const idBytes = 20;
/** Sizes come in groups of seven bits; these are more than any number here can hold. */
const maxSizeGroups = 9;
/** A delta begins with two sizes. */
const deltaHeadBytes = 2 * maxSizeGroups;
/** Objects up to this are unpacked in one piece: a stream for each takes several times as long. */
const wholeBytes = 128 * 1024;
/** Unpacked without a look at what else waits in this thread; each object is reckoned as some bytes more. */
const turnBytes = 2 * 1024 * 1024;
const objectCostBytes = 2 * 1024;

/**
 * Follows the pack in a whole answer of upload-pack, and throws away what it unpacks. Resolves with undefined when it keeps its
 * bounds, which an answer without a pack does too; otherwise as soon as one is exceeded. Rejects with an Error when the pack
 * cannot be followed or an object has another size than it declares, and with the signal's reason.
 */
export async function measurePack(
  answer: Uint8Array,
  { bounds, signal }: { readonly bounds: PackBounds; readonly signal: AbortSignal },
): Promise<Excess | undefined> {
  const input = new PackInput(answer);
  if (input.piece().length === 0) return undefined;
  const header = input.take(packHeaderBytes);
  if (header.toString("latin1", 0, 4) !== "PACK") throw new Error("The answer holds something else than a pack");
  const tally = new Tally(bounds);
  let work = 0;
  for (let left = header.readUInt32BE(8); left > 0; left--) {
    const first = input.byte();
    const kind = (first >> 4) & 7;
    if (!kinds.has(kind)) throw new Error(`The pack holds an object of kind ${kind}`);
    const size = (first & 15) + (first < 128 ? 0 : 16 * readSize(() => input.byte()));
    const tooMuch = tally.add(size);
    if (tooMuch !== undefined) return tooMuch;
    if (kind === offsetDelta) readSize(() => input.byte()); // not a size, but it ends like one
    if (kind === idDelta) input.take(idBytes);
    const begin = await inflate(input, size);
    if (kind === offsetDelta || kind === idDelta) {
      const made = tally.addResult(resultSize(begin));
      if (made !== undefined) return made;
    }
    work += size + objectCostBytes;
    if (work < turnBytes) continue;
    work = 0;
    await setImmediate();
    signal.throwIfAborted();
  }
  return undefined;
}

class Tally {
  readonly #bounds: PackBounds;
  #largest = 0;
  #largeResults = 0;
  #all = 0;

  constructor(bounds: PackBounds) {
    this.#bounds = bounds;
  }

  add(size: number): Excess | undefined {
    this.#all += size;
    this.#largest = Math.max(this.#largest, size);
    if (size > this.#bounds.object) return { bound: "object", largest: this.#largest };
    return this.#all > this.#bounds.all ? { bound: "all", largest: this.#largest } : undefined;
  }

  addResult(size: number): Excess | undefined {
    if (size > this.#bounds.largeResult) this.#largeResults += size;
    const excess = this.add(size);
    if (excess !== undefined || this.#largeResults <= this.#bounds.largeResults) return excess;
    return { bound: "largeResults", largest: this.#largest };
  }
}

/** Groups of seven bits, the lowest first; a byte below 128 is the last one. */
function readSize(next: () => number): number {
  let size = 0;
  for (let group = 0; group < maxSizeGroups; group++) {
    const byte = next();
    size += (byte & 127) * 128 ** group;
    if (byte < 128) return size;
  }
  throw new Error("The pack holds a number without an end");
}

/** Behind the size of the base stands that of the result. */
function resultSize(delta: Uint8Array): number {
  let at = 0;
  const next = (): number => {
    const byte = delta[at++];
    if (byte === undefined) throw new Error("The pack holds a delta that is cut short");
    return byte;
  };
  readSize(next);
  return readSize(next);
}

/** Moves behind an object's data; resolves with how it begins, as much as a delta's two sizes may take. */
async function inflate(input: PackInput, size: number): Promise<Uint8Array> {
  const whole = size > wholeBytes ? undefined : inflateWhole(input, size);
  return whole ?? (await inflatePieces(input, size));
}

/** Undefined when the data is longer than any that was packed with sense, or cut short. */
function inflateWhole(input: PackInput, size: number): Uint8Array | undefined {
  const packed = input.ahead(size + (size >> 6) + 256);
  try {
    // What `info` returns is not in the types
    const { buffer, engine } = inflateSync(packed, {
      info: true,
      maxOutputLength: size + 1,
      chunkSize: size + 64,
    }) as unknown as { readonly buffer: Buffer; readonly engine: { readonly bytesWritten: number } };
    mustBe(buffer.length, size);
    input.skip(engine.bytesWritten);
    return buffer;
  } catch (error) {
    if (errorCode(error) === "Z_BUF_ERROR") return undefined;
    if (errorCode(error) === "ERR_BUFFER_TOO_LARGE") mustBe(size + 1, size);
    throw error;
  }
}

async function inflatePieces(input: PackInput, size: number): Promise<Uint8Array> {
  const begin = Buffer.alloc(Math.min(size, deltaHeadBytes));
  const source = Readable.from(input.pieces());
  const engine = source.pipe(createInflate({ chunkSize: 64 * 1024 }));
  try {
    let bytes = 0;
    for await (const chunk of engine as AsyncIterable<Buffer>) {
      if (bytes < begin.length) chunk.copy(begin, bytes);
      bytes += chunk.length;
      if (bytes > size) break;
    }
    mustBe(bytes, size);
    input.skip(engine.bytesWritten);
    return begin;
  } finally {
    source.destroy();
    engine.destroy();
  }
}

function mustBe(bytes: number, size: number): void {
  if (bytes === size) return;
  throw new Error(`The pack holds an object of ${bytes > size ? "more" : "fewer"} bytes than the ${size} it declares`);
}

/** The pack's bytes as they lie in the packets of the answer: those of side band 1, one behind the other. */
class PackInput {
  readonly #answer: Buffer;
  /** The rest of the packet that is being read. */
  #at = 0;
  #end = 0;
  #next = 0;

  constructor(answer: Uint8Array) {
    this.#answer = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength);
  }

  /** What is left of this packet, or else the next one that is not empty; empty at the end. */
  piece(): Buffer {
    while (this.#at === this.#end && this.#next < this.#answer.length) {
      const length = Number.parseInt(this.#answer.toString("latin1", this.#next, this.#next + 4), 16);
      const isPack = length > 5 && this.#answer[this.#next + 4] === 1;
      const begin = this.#next;
      this.#next = begin + Math.max(4, length || 0);
      if (!isPack) continue;
      this.#at = begin + 5;
      this.#end = Math.min(this.#next, this.#answer.length);
    }
    return this.#answer.subarray(this.#at, this.#end);
  }

  byte(): number {
    const byte = this.#at < this.#end ? this.#answer[this.#at] : this.piece()[0];
    if (byte === undefined) throw tooShort();
    this.#at++;
    return byte;
  }

  take(bytes: number): Buffer {
    const taken = this.ahead(bytes);
    if (taken.length < bytes) throw tooShort();
    this.skip(bytes);
    return taken;
  }

  skip(bytes: number): void {
    for (let left = bytes; left > 0;) {
      const { length } = this.piece();
      if (length === 0) throw tooShort();
      this.#at += Math.min(left, length);
      left -= length;
    }
  }

  /** Up to so many bytes from here on. Moves nothing. */
  ahead(bytes: number): Buffer {
    const first = this.piece();
    if (first.length >= bytes) return first.subarray(0, bytes);
    const parts: Buffer[] = [];
    let left = bytes;
    for (const piece of this.pieces()) {
      parts.push(piece);
      left -= piece.length;
      if (left <= 0) break;
    }
    return Buffer.concat(parts).subarray(0, bytes);
  }

  /** Everything from here on. Moves nothing. */
  *pieces(): Generator<Buffer> {
    const scout = new PackInput(this.#answer);
    scout.#at = this.#at;
    scout.#end = this.#end;
    scout.#next = this.#next;
    for (let piece = scout.piece(); piece.length > 0; piece = scout.piece()) {
      yield piece;
      scout.#at = scout.#end;
    }
  }
}

function tooShort(): Error {
  return new Error("The pack is cut short");
}
