// Numbers as people write them in metadata and in what units ask of them: one reading, so that both sides agree. Pure.

/** A finite decimal number, as in `5`, `-0.25` or `+3.50`: no exponent, no blanks. Undefined for every other text. */
export function parseDecimal(text: string): number | undefined {
  if (!/^[+-]?[0-9]+(?:\.[0-9]+)?$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value + 0 : undefined; // a zero has no sign
}
