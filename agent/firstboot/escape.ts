// Values as systemd's files carry them, so that what is read is what was meant: environment files, Environment= lines,
// and fleet's specifiers, which are put in because flotilla's settings know none.
import type { SetupFacts } from "../domain/first-boot.ts";

/** Characters that no reader of NAME=value lines takes for anything but themselves. */
const plain = /^[A-Za-z0-9_.,:@%+=/[\]-]*$/;

/** One line of an environment file (systemd.exec(5), EnvironmentFile=; a shell reads the same out of it). */
export function environmentFileLine(name: string, value: string): string {
  return plain.test(value) ? `${name}=${value}` : `${name}="${value.replace(/[\\"`$]/g, "\\$&")}"`;
}

/** One Environment= line of a unit: quotes and backslashes escaped, and no specifier in it. */
export function environmentLine(name: string, value: string): string {
  const escaped = value.replace(/[\\"]/g, "\\$&").replaceAll("%", "%%").replaceAll("\t", "\\t").replaceAll("\n", "\\n");
  return `Environment="${name}=${escaped}"`;
}

/** Whether a value fits into one line of a file. */
export function isOneLine(value: string): boolean {
  return !/[\p{Cc}]/u.test(value);
}

/**
 * The specifiers that files of fleet's day use in metadata (systemd.unit(5)): %H host name, %m machine id, %b boot id,
 * %v kernel, %% a percent sign. `unknown` are those that stay as they are.
 */
export function expandSpecifiers(
  value: string,
  { hostname, facts }: { readonly hostname: string; readonly facts: SetupFacts },
): { readonly value: string; readonly unknown: readonly string[] } {
  const known: Readonly<Record<string, string>> = {
    H: hostname,
    l: hostname.split(".")[0] ?? hostname,
    m: facts.machineId,
    b: facts.bootId.replaceAll("-", ""),
    v: facts.kernel,
    "%": "%",
  };
  const unknown: string[] = [];
  const expanded = value.replace(/%(.)/gu, (whole, letter: string) => {
    if (Object.hasOwn(known, letter)) return known[letter] ?? whole;
    unknown.push(whole);
    return whole;
  });
  return { value: expanded, unknown };
}
