// A corpus that grows: an input for every manner of a reader that the corpus does not have yet, as small as it can be. Given to
// main.ts and the tests.
import type { Tried } from "./campaign.ts";
import { corpusFolder, keepInput } from "./corpus.ts";
import type { Runner } from "./runner.ts";
import { shrink } from "./shrink.ts";

/** Inputs of a new manner that one run keeps of one target. */
const maxKept = 40;

export interface GrowthOptions {
  readonly target: string;
  readonly runner: Runner;
  readonly folder?: string;
}

export class Growth {
  /** Of all that was tried. */
  readonly manners = new Set<string>();
  readonly #options: GrowthOptions;
  #kept = 0;

  constructor(options: GrowthOptions) {
    this.#options = options;
  }

  /** True: nothing was taken in this manner before. */
  isNew({ manner }: Tried): boolean {
    const isNew = !this.manners.has(manner);
    this.manners.add(manner);
    return isNew;
  }

  /**
   * Keeps the smallest input that the reader takes in the same manner. Answers its path from the top of the corpus; undefined when
   * there are enough of this run.
   */
  async keep({ input, manner }: Tried): Promise<string | undefined> {
    const { target, runner, folder = corpusFolder } = this.#options;
    if (this.#kept >= maxKept) return undefined;
    this.#kept++;
    const isSame = async (smaller: Uint8Array): Promise<boolean> => {
      const said = await runner.run(smaller);
      return said.manner === manner && said.breach === undefined;
    };
    return keepInput(target, { kind: "new", bytes: await shrink(input, isSame) }, folder);
  }
}
