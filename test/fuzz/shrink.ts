// The smallest input that still does it: pieces are taken out and bytes made plain as long as `still` says yes.

/** Asked no more often than this. */
const maxTries = 400;

export async function shrink(
  input: Uint8Array,
  still: (smaller: Uint8Array) => Promise<boolean>,
  tries = maxTries,
): Promise<Uint8Array> {
  let best = input;
  let left = tries;
  const take = async (candidate: Uint8Array): Promise<boolean> => {
    if (left <= 0 || !(await still(candidate))) {
      left--;
      return false;
    }
    left--;
    best = candidate;
    return true;
  };
  for (let size = best.length; size >= 1 && left > 0; size = Math.floor(size / 2)) {
    for (let at = 0; at < best.length && left > 0;) {
      const without = Uint8Array.from([...best.subarray(0, at), ...best.subarray(at + size)]);
      if (!(await take(without))) at += size;
    }
  }
  for (let at = 0; at < best.length && left > 0; at++) {
    if (best[at] === 0x61 || best[at] === 0x0a) continue;
    const plain = Uint8Array.from(best);
    plain[at] = 0x61;
    await take(plain);
  }
  return best;
}
