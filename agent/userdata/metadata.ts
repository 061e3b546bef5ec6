// Metadata of a machine in any of its forms -> `key=value,key=value`, by the rules of the setting that it becomes.
import type { Place } from "../domain/problem.ts";
import type { Placed } from "../domain/user-data.ts";
import { metadataRules } from "./fields.ts";
import { shown } from "./notes.ts";
import { type Reader, splitCommas } from "./reader.ts";
import { withSamples } from "./tokens.ts";
import type { Value } from "./values.ts";

/** Undefined when nothing is in it, or an error was said. */
export function readMetadata(reader: Reader, value: Value): string | undefined {
  const pairs = new Map<string, string>();
  let faults = 0;
  const fault = (message: string, hint: string, at: Place): void => {
    faults++;
    reader.notes.error("metadata", message, { hint, at });
  };
  for (const { value: item, at } of itemsOf(reader, value)) {
    const equals = item.indexOf("=");
    const key = item.slice(0, equals).trim();
    const text = item.slice(equals + 1).trim();
    const sample = withSamples(text);
    const before = pairs.get(key);
    if (equals < 0) fault(`Cannot read "${shown(item)}" as metadata: it has no "="`, "Write key=value,key=value", at);
    else if (key === "__proto__" || !metadataRules.key.test(key))
      fault(`Cannot take "${shown(key)}" as a key of metadata`, "It must be 1 to 128 letters, digits and _./:-", at);
    else if (/\p{Cc}/u.test(sample) || !metadataRules.value.test(sample))
      fault(`Cannot take the value of metadata "${key}"`, "It must be 1 to 256 characters without a comma", at);
    else if (before !== undefined && before !== text)
      fault(
        `Cannot give metadata "${key}" two values`,
        `They are "${shown(before)}" and "${shown(text)}"; keep one`,
        at,
      );
    else pairs.set(key, text);
  }
  if (pairs.size > metadataRules.most)
    fault(`Cannot take ${pairs.size} keys of metadata`, `It must be at most ${metadataRules.most}`, value.at);
  return faults === 0 && pairs.size > 0 ? Array.from(pairs, ([key, text]) => `${key}=${text}`).join(",") : undefined;
}

function itemsOf(reader: Reader, value: Value): readonly Placed<string>[] {
  if (value.kind === "map")
    return Array.from(value.entries, ([key, entry]) => ({
      value: `${key}=${reader.filled(entry.value)?.value ?? ""}`,
      at: entry.at,
    }));
  const texts: readonly Value[] = value.kind === "list" ? value.items : [value];
  return texts.flatMap((text) => {
    const filled = reader.filled(text);
    return splitCommas(filled?.value ?? "").map((item) => ({ value: item, at: text.at }));
  });
}
