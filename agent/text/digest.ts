// SHA-256 of text and bytes, as hex. Given to whoever has to tell whether something is still the same.
import { createHash } from "node:crypto";

/** 64 lowercase hex digits. */
export function sha256(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex");
}
