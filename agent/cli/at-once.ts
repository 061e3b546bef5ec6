// Work on many machines, so many at once and no more.

/** Connections by ssh at one time: each is a process here and a login there. */
export const mostAtOnce = 16;

/** Results in the order of the items. The first rejection is passed on; what has begun is waited for. */
export async function atOnce<Item, Result>(
  items: readonly Item[],
  work: (item: Item, index: number) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  let next = 0;
  let broken = false;
  const worker = async (): Promise<void> => {
    while (!broken && next < items.length) {
      const index = next++;
      try {
        results[index] = await work(items[index] as Item, index);
      } catch (error) {
        broken = true;
        throw error;
      }
    }
  };
  const all = await Promise.allSettled(Array.from({ length: Math.min(mostAtOnce, items.length) }, worker));
  const failed = all.find((each) => each.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return results;
}
