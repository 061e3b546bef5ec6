// Mistakes that could well be made, each of a line or two, against what design and code hold. The simulator must find every one
// (mutate.ts). Not among them is what another guard makes good: a leader's guard on whoever leads instead of itself (its tenure
// ends with its key), a text that is missing (an older one stands in), a status that is not told under a new claim (it is
// looked at after every break), a machine without a status that counts as seen without its units (it starts what must not run
// twice only by a manifest that was written since it is back).

export interface Mutant {
  readonly name: string;
  /** The rule, and what holds in its place. */
  readonly breaks: string;
  /** Under agent/. */
  readonly file: string;
  /** Occurs there once. */
  readonly from: string;
  readonly to: string;
}

export const mutants: readonly Mutant[] = [
  {
    name: "handover-at-once",
    breaks:
      "Hand-over is explicit: here only a unit that goes back is waited for, any other starts at once on its new machine",
    file: "schedule/manifests.ts",
    from: "const [from] = isGlobal(input, name)",
    to: "const [from] = current === undefined || isGlobal(input, name)",
  },
  {
    name: "leader-unguarded",
    breaks: "Every write of the engine is fenced on the election key: here it is not",
    file: "loops/manifest-writes.ts",
    from: '[{ kind: "created", key: keys.leader, revision: tenure.epoch }]',
    to: "[]",
  },
  {
    name: "manifest-unguarded",
    breaks: "A manifest replaces only the one that it was decided on: here any",
    file: "loops/manifest-writes.ts",
    from: 'guards.push({ kind: "modified", key, revision: modified.get(key) ?? 0 });',
    to: "",
  },
  {
    name: "older-epoch",
    breaks: "A machine refuses a manifest older than one that it has seen: here it takes whatever the registry has",
    file: "loops/own-manifest.ts",
    from: "comparePositions(read.value, this.#current) >= 0",
    to: "read.value.machine === me",
  },
  {
    name: "settling-skipped",
    breaks:
      "After a change of leader or a return of the registry every machine has one lease to come back: here it is gone at once",
    file: "loops/trust.ts",
    from: "settling: isSettling,",
    to: "settling: false,",
  },
  {
    name: "settled-unwoken",
    breaks: "Where nobody comes back the engine looks again when the lease is over: here only when something changes",
    file: "loops/trust.ts",
    from: "dueMs: Math.min(...[settleMs, witnessMs].filter((ms) => ms > 0)),",
    to: "dueMs: Infinity,",
  },
  {
    name: "brake-off",
    breaks: "While too many machines are lost at once their units stay: here they move",
    file: "loops/losses.ts",
    from: "brakePercent < 100 && lost >= fewestBraked",
    to: "brakePercent < 0 && lost >= fewestBraked",
  },
  {
    name: "permit-too-long",
    breaks: "OnPartition=stop: the permit ends before the lease can have run out: here after it",
    file: "loops/fence.ts",
    from: "return this.#ports.beat.heldUntilMs() - fenceLeadMs;",
    to: "return this.#ports.beat.heldUntilMs() + fenceLeadMs;",
  },
  {
    name: "word-unawaited",
    breaks: "OnPartition=stop: it starts by the leader's word for the machine's claim of its id: here without",
    file: "loops/fence.ts",
    from: "const isConfirmed = entry !== undefined && wordIn(entry) === claim.revision;",
    to: "const isConfirmed = entry !== undefined;",
  },
  {
    name: "fence-unwaited",
    breaks: "OnPartition=stop: the engine waits until the unit is down on the lost machine: here not for its stopping",
    file: "loops/fence-waits.ts",
    from: "const leftMs = goneMs + fenceWaitMs(fenceMs) - nowMs;",
    to: "const leftMs = goneMs + fenceWaitMs(0) - nowMs;",
  },
  {
    name: "copy-missing",
    breaks: "Unknown is not absent: here a machine whose own manifest could not be read has one without units",
    file: "loops/own-manifest.ts",
    from: "    return this.#current;",
    to: "    return this.#current ?? { machine: this.#ports.me, epoch: 0, generation: 0, units: [] };",
  },
  {
    name: "commit-partly",
    breaks: "A commit is taken whole or not at all: here its good units are taken",
    file: "desired/desired.ts",
    from: "if (problems.length > 0) return { ok: false, problems, warnings };",
    to: "if (problems.length > 0 && units.size === 0) return { ok: false, problems, warnings };",
  },
  {
    name: "restore-unread",
    breaks:
      "After a break everything is read anew, for the store may have been restored: here the watch goes on where it was",
    file: "loops/mirror.ts",
    from: "await this.#readAll(signal);",
    to: "if (this.revision === 0) await this.#readAll(signal);",
  },
  {
    name: "return-unreleased",
    breaks:
      "What has moved from a lost machine is taken from it before it returns: here it keeps its copy, and may win",
    file: "schedule/schedule.ts",
    from: "unit.options.global || unit.host === undefined ? host !== undefined : true;",
    to: "host !== undefined;",
  },
  {
    name: "room-unoffered",
    breaks: "What is freed on a machine is offered to units that wait: here nobody is asked again",
    file: "schedule/keep.ts",
    from: "freed.add(host);",
    to: "",
  },
  {
    name: "conflict-one-way",
    breaks: "Conflicts= holds whichever of the two says so: here only that of whoever is there already counts",
    file: "schedule/board.ts",
    from: "unit.declares.some((pattern) => host.matching.has(pattern)) ||\n    unit.matching.some",
    to: "unit.matching.some",
  },
  {
    name: "restart-unnoted",
    breaks: "A restart is carried out once for each request: here nobody notes for which",
    file: "loops/jobs.ts",
    from: "systemd.noteLaunched(job.unit, { hash, restart });",
    to: "systemd.noteLaunched(job.unit, { hash, restart: undefined });",
  },
  {
    name: "submitted-unheard",
    breaks: "Submitted units run where machines take them: here they end under a leader that takes none",
    file: "loops/cluster-state.ts",
    from: "allowSubmit || isAnyOpen(picture)",
    to: "allowSubmit",
  },
  {
    name: "permit-too-short",
    breaks: "OnPartition=stop: a machine that is silent for less than five seconds stops nothing: here it does",
    file: "loops/fence.ts",
    from: "return this.#ports.beat.heldUntilMs() - fenceLeadMs;",
    to: "return this.#ports.beat.heldUntilMs() - 7_000;",
  },
];
