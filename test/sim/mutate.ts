// Whether the simulator finds what it is there for: the product with one mistake put in on purpose (mutants.ts), in a copy of its
// own, from the first seed upward until something breaks. A mutant that lives is a rule that nobody watches.
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Mutant, mutants } from "./mutants.ts";
import { Worker } from "./worker.ts";

/** What a simulation needs of the repository. */
const copied = ["agent", "schemas", "test/sim", "test/fakes", "package.json", "tsconfig.json"];

/** What became of a mutant; `check` undefined: it lived through all seeds. */
interface Fate {
  readonly seeds: number;
  readonly check: string | undefined;
}

/** Those named, or all; false when any lived, or was none. A line for each on stdout, as it comes. */
export async function runMutants(
  names: readonly string[],
  { seeds, jobs }: { readonly seeds: number; readonly jobs: number },
): Promise<boolean> {
  const unknown = names.filter((name) => !mutants.some((mutant) => mutant.name === name));
  for (const name of unknown) console.error(`There is no mutant "${name}"`);
  const left = mutants.filter(({ name }) => names.length === 0 || names.includes(name));
  const width = Math.max(...left.map(({ name }) => name.length));
  let isWell = unknown.length === 0;
  const work = async (): Promise<void> => {
    for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
      const fate = await fateOf(mutant, seeds).catch((error: unknown) => String(error));
      isWell &&= typeof fate !== "string" && fate.check !== undefined;
      process.stdout.write(`${mutant.name.padEnd(width)}  ${typeof fate === "string" ? fate : inWords(fate)}\n`);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return isWell;
}

/** Throws when the mutant's text is not there exactly once. */
export function mutated(text: string, { name, file, from, to }: Mutant): string {
  const found = text.split(from).length - 1;
  if (found !== 1) throw new Error(`Mutant "${name}" does not apply: its text occurs ${found} times in agent/${file}`);
  return text.replace(from, () => to);
}

async function fateOf(mutant: Mutant, most: number): Promise<Fate> {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const copy = mkdtempSync(join(tmpdir(), "flotilla-mutant-"));
  try {
    for (const each of copied) cpSync(join(root, each), join(copy, each), { recursive: true });
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
    const file = join(copy, "agent", mutant.file);
    writeFileSync(file, mutated(readFileSync(file, "utf8"), mutant));
    return await simulateIn(copy, most);
  } finally {
    rmSync(copy, { recursive: true });
  }
}

/** One seed after another, so that the same one is found in every run. */
async function simulateIn(copy: string, most: number): Promise<Fate> {
  const worker = new Worker(join(copy, "test/sim/main.ts"), { cwd: copy });
  try {
    for (let seed = 1; seed <= most; seed++) {
      const check = (await worker.simulate(seed)).broken?.check;
      if (check === "process/ended" && seed === 1) throw new Error("It does not run at all");
      if (check !== undefined) return { seeds: seed, check };
    }
    return { seeds: most, check: undefined };
  } finally {
    worker.end();
  }
}

function inWords({ seeds, check }: Fate): string {
  const count = String(seeds).padStart(3);
  return check === undefined ? `${count}  SURVIVES` : `${count}  ${check}`;
}
