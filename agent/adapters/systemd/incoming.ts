// What comes over a D-Bus connection, before the library takes it apart: bytes that are no message of systemd's end the
// connection at once, a message that does not come to its end does so in time. Given to peer.ts.
import type { Socket } from "node:net";

/** The D-Bus specification's own bound. No smaller one: one answer may list 131,072 units. */
const maxMessageBytes = 128 * 1024 * 1024;
/** Of a header's fields: a path, three names and a signature, of some hundred bytes each. */
const maxFieldsBytes = 64 * 1024;
/** As long as a message may be under way: a manager that was half-way through one when it began to reload goes on with it late. */
const messageTimeoutMs = 30_000;

const headerBytes = 16;
const [littleEndian, bigEndian] = [0x6c, 0x42];
const protocolVersion = 1;

/**
 * Calls `end`, once or more often, when the connection is of no more use. To be called before the library adds its listener,
 * which it does when the handshake is over: what it throws there would be nobody's, and the end of the process.
 */
export function guardReads(stream: Socket, end: (error: Error) => void): void {
  const on = stream.on.bind(stream);
  const read = stream.read.bind(stream);
  let isParsing = false;
  /** A header was read, and what belongs to it was not yet. */
  let isInside = false;
  let patience: NodeJS.Timeout | undefined;
  const rest = (): void => {
    clearTimeout(patience);
    patience = undefined;
  };
  stream.once("close", rest);
  Object.assign(stream, {
    read: (bytes?: number): unknown => {
      if (!isParsing || bytes === undefined) return read(bytes);
      // A length of nothing, or below it, the library would wait for for ever
      if (bytes <= 0 || bytes > maxMessageBytes)
        throw new Error(`The other side announced a message of ${bytes} bytes`);
      const taken: unknown = read(bytes);
      if (!(taken instanceof Buffer)) return taken;
      if (isInside) rest();
      else checkHeader(taken);
      isInside = !isInside;
      return taken;
    },
    on: (event: string, listener: () => void): Socket => {
      if (event !== "readable") return on(event, listener);
      return on(event, () => {
        isParsing = true;
        try {
          listener();
          if (isInside || stream.readableLength > 0)
            patience ??= setTimeout(
              () => end(new Error(`The other side did not end a message within ${messageTimeoutMs} ms`)),
              messageTimeoutMs,
            );
        } catch (error) {
          end(error instanceof Error ? error : new Error(String(error)));
        } finally {
          isParsing = false;
        }
      });
    },
  });
}

/** With a damaged length everything that follows would be taken for a part of this message. */
function checkHeader(header: Buffer): void {
  const [order] = header;
  if (header.length !== headerBytes || (order !== littleEndian && order !== bigEndian) || header[3] !== protocolVersion)
    throw new Error("The other side sent what is no D-Bus message");
  const fields = order === littleEndian ? header.readUInt32LE(12) : header.readUInt32BE(12);
  if (fields > maxFieldsBytes) throw new Error(`The other side announced header fields of ${fields} bytes`);
}
