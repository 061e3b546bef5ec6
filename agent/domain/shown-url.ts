// An address that somebody typed, as a message may quote it. For whoever refuses one: what is wrong with it may be just
// that a password stands in it, so it cannot be asked of a parser where that ends.

/**
 * `text` with "(secret)" for everything that may be a password: all between the scheme and the last "@", unless it can be a
 * user's name alone, as in git@host:path. A "/", "@" or blank in a password does not cut it short.
 */
export function withoutLogin(text: string): string {
  const at = text.lastIndexOf("@");
  const before = text.slice(0, Math.max(0, at));
  if (!/:|\/\//.test(before)) return text;
  const scheme = /^(?:[^\s@:=]+=)?(?:[a-z][a-z0-9+.-]*:)?\/\//i.exec(before)?.[0] ?? "";
  return `${scheme}(secret)${text.slice(at)}`;
}
