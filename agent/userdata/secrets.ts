// Whether a text looks as if it held a secret: to warn where everybody may read it. Never shows what it found.

const assigned =
  /^[^\S\n]*(?:export\s+)?["']?[A-Za-z0-9_.-]*(?:password|passwd|secret|token|api_?key|access_?key|private_?key)["']?[^\S\n]*[=:][^\S\n]*["']?([^\s"'#]+)/gim;

/** What a text seems to hold, for a sentence; undefined: nothing secret. */
export function secretIn(text: string): { readonly what: string; readonly line: number } | undefined {
  const key = /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/.exec(text);
  if (key !== null) return { what: "a private key", line: lineOf(text, key.index) };
  for (const match of text.matchAll(assigned)) {
    const value = match[1] ?? "";
    // a variable, a path, a flag or a word is where the secret is to be found, not the secret
    if (/^[$/{<%~]|^(true|false|yes|no|none|null|required|sufficient)$/i.test(value) || value.length < 4) continue;
    if (/(?:file|path|dir|name|url|command|length|type)["']?\s*[=:]/i.test(match[0])) continue;
    return { what: "a password or token", line: lineOf(text, match.index) };
  }
  return undefined;
}

function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}
