// The machine's addresses in user-data: `$private_ipv4` and its like, put in at the end, into values and never into raw text.
import type { Place } from "../domain/problem.ts";
import { type AddressName, type Addresses, addressNames } from "../domain/user-data.ts";
import type { Notes } from "./notes.ts";

const names = addressNames.join("|");
/** Backslashes in front protect it; `${NAME:-DEFAULT}` has a value for a machine without one. */
const token = new RegExp(`(\\\\*)\\$(?:\\{(${names})(?::-([^}\\n]*))?\\}|(${names})(?![A-Za-z0-9_]))`, "g");
const longer = new RegExp(`(?<!\\\\)\\$((?:${names})[A-Za-z0-9_]+)`, "g");

/** Addresses to check a value with while the real ones are not known (RFC 5737, RFC 3849). */
const samples: Readonly<Record<AddressName, string>> = {
  private_ipv4: "192.0.2.1",
  public_ipv4: "198.51.100.1",
  private_ipv6: "2001:db8::1",
  public_ipv6: "2001:db8::2",
};

export class Tokens {
  readonly #addresses: Addresses | undefined;
  readonly #notes: Notes;
  readonly #seen = new Map<AddressName, Place>();

  /** Without addresses tokens stay as they are and are only listed. */
  constructor(addresses: Addresses | undefined, notes: Notes) {
    this.#addresses = addresses;
    this.#notes = notes;
  }

  /** Every token that was met, with its first place. */
  get seen(): ReadonlyMap<AddressName, Place> {
    return this.#seen;
  }

  /** The text with addresses put in. One that is not known is an error at `at`, and its token stays. */
  fill(text: string, at: Place): string {
    if (!text.includes("$")) return text;
    for (const [, word = ""] of text.matchAll(longer)) this.#warnOfLonger(word, at);
    return text.replace(token, (whole, slashes: string, braced?: string, otherwise?: string, bare?: string) => {
      const name = nameOf(braced ?? bare);
      if (slashes !== "") return this.#addresses === undefined ? whole : whole.slice(1);
      if (!this.#seen.has(name)) this.#see(name, at);
      if (this.#addresses === undefined) return whole;
      const value = this.#addresses.values[name] ?? otherwise;
      if (value !== undefined && value !== "") return value;
      this.#missing(name, at, this.#addresses.looked[name]);
      return whole;
    });
  }

  #see(name: AddressName, at: Place): void {
    this.#seen.set(name, at);
    if (this.#addresses === undefined)
      this.#notes.info("token", `Cannot know $${name} before the machine is there`, {
        hint: `It is put in at boot; write \${${name}:-ADDRESS} for a machine that may have none`,
        at,
      });
  }

  #missing(name: AddressName, at: Place, looked: readonly string[]): void {
    const where = looked.length === 0 ? "It was looked for nowhere" : `Looked for in ${looked.slice(0, 16).join("; ")}`;
    this.#notes.error("address", `Cannot put in $${name}: this machine has no such address`, {
      hint: `${where}. Write \${${name}:-ADDRESS}, or take another one`,
      at,
    });
  }

  #warnOfLonger(word: string, at: Place): void {
    const name = addressNames.find((each) => word.startsWith(each)) ?? "private_ipv4";
    this.#notes.warning("token-longer", `Cannot put an address into $${word.slice(0, 40)}`, {
      hint: `A name ends where letters, digits and _ end; write \${${name}}${word.slice(name.length, 40)} to put it in`,
      at,
    });
  }
}

/** The text with a sample address for each token, to check its shape. */
export function withSamples(text: string): string {
  if (!text.includes("$")) return text;
  return text.replace(token, (whole, slashes: string, braced?: string, _otherwise?: string, bare?: string) =>
    slashes === "" ? samples[nameOf(braced ?? bare)] : whole.slice(1),
  );
}

function nameOf(text: string | undefined): AddressName {
  const name = addressNames.find((each) => each === text);
  if (name === undefined) throw new Error("a token is one of its pattern's names");
  return name;
}
