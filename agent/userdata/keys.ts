// Lines of authorized_keys and hashes of passwords: whether they will do what their author wants. Shows neither.
import type { Placed } from "../domain/user-data.ts";
import type { Notes } from "./notes.ts";

const keyTypes =
  /(?:^|[\s,])(ssh-(?:rsa|ed25519|dss)|ecdsa-sha2-nistp(?:256|384|521)|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)(-cert-v01@openssh\.com)?(?:\s+(\S+))?/;

/** One key for each line of a value; comments and blank lines left out, faults said. */
export function authorizedKeys(values: readonly Placed<string>[], notes: Notes): readonly Placed<string>[] {
  const keys = values.flatMap(({ value, at }) =>
    value
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => ({ value: line, at })),
  );
  const seen = new Set<string>();
  return keys.filter((key) => {
    if (key.value.includes("PRIVATE KEY")) {
      notes.error("private-key", "Cannot take a private key for a public one", {
        hint: "Write the line of the .pub file, and make a new pair: this one has been shown",
        at: key.at,
      });
      return false;
    }
    checkKey(key, notes);
    if (seen.has(key.value)) return false;
    seen.add(key.value);
    return true;
  });
}

function checkKey({ value, at }: Placed<string>, notes: Notes): void {
  const doubt = (message: string, hint: string): void => notes.warning("ssh-key", message, { hint, at });
  const [, type, certificate = "", data] = keyTypes.exec(value) ?? [];
  if (type === undefined) {
    doubt(
      "Cannot see a public key in this line of authorized_keys",
      "It is TYPE DATA COMMENT, with a type such as ssh-ed25519: the line of the .pub file",
    );
    return;
  }
  if (type === "ssh-dss")
    doubt("Cannot log in with a key of type ssh-dss", "OpenSSH takes none since version 7; make an ed25519 key");
  if (data === undefined || !isKeyData(data, `${type}${certificate}`))
    doubt(`Cannot log in with this ${type} key: its data is cut or changed`, "Copy the whole line of the .pub file");
}

/** Key data begins with the length and the name of its own type (RFC 4253, 6.6). */
function isKeyData(data: string, type: string): boolean {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(data)) return false;
  const bytes = Buffer.from(data, "base64");
  return (
    bytes.length > 4 + type.length + 16 &&
    bytes.readUInt32BE(0) === type.length &&
    bytes.subarray(4, 4 + type.length).toString("latin1") === type
  );
}

/** crypt(5): the prefixes of its methods, and what stands for "no password". */
export function isPasswordHash(text: string): boolean {
  return (
    /^\$(?:1|2[abxy]?|5|6|7|y|gy|md5|sha1)[$,][^\s:!*]+$/.test(text) ||
    /^_[./0-9A-Za-z]{19}$/.test(text) ||
    /^[./0-9A-Za-z]{13}$/.test(text) ||
    /^[!*]+$/.test(text) ||
    /^!?\$[^\s:]+$/.test(text)
  );
}
