// "Did you mean": the known word that a mistyped one was most likely meant to be. Pure; given to every reader of words.

/**
 * The candidate nearest to `word`, if it is near enough to be a slip: the same but for case, or at most one slip in three
 * characters (a missing, extra, wrong or swapped one), three at most. Ties go to
 * one that has the same letters, then to the first candidate.
 */
export function suggest(word: string, candidates: readonly string[]): string | undefined {
  const wanted = word.toLowerCase();
  let best: string | undefined;
  let bestSlips = Math.min(3, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    if (candidate === word) continue;
    const slips = countSlips(wanted, candidate.toLowerCase(), bestSlips);
    const isLiker =
      slips === bestSlips && best !== undefined && isSwapped(wanted, candidate) && !isSwapped(wanted, best);
    if (slips < bestSlips || isLiker) [best, bestSlips] = [candidate, slips];
  }
  return best;
}

/** Whether two words differ in the order of their letters alone. */
function isSwapped(word: string, candidate: string): boolean {
  return Array.from(word).sort().join("") === Array.from(candidate.toLowerCase()).sort().join("");
}

/** Optimal string alignment distance; may stop at `limit`, above which nobody asks. */
function countSlips(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let slips = Math.min(
        (above[column] ?? limit) + 1,
        (current[column - 1] ?? limit) + 1,
        (above[column - 1] ?? limit) + (same ? 0 : 1),
      );
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) slips = Math.min(slips, (before[column - 2] ?? limit) + 1);
      current.push(slips);
    }
    [before, above] = [above, current];
  }
  return above[b.length] ?? limit;
}
