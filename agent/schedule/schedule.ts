// The front door of placement: the whole state in, one decision per unit out. Given to loops/ (with schedule/manifests.ts,
// which turns decisions into manifests). Pure: no clock, no chance, no order taken from a map; touches nothing.
import type { ClusterState, Decision } from "../domain/placement.ts";
import { keepWhatMayStay } from "./keep.ts";
import { openPass } from "./pass.ts";
import { report } from "./report.ts";
import { settle } from "./settle.ts";

/**
 * Decides for every unit, in name order (fleet.md sections 7 and 8, mended). Same state in, same decisions out.
 *
 * - An active unit that is not global gets exactly one `keep`, `place` or `wait`, and a `drop` for each further machine
 *   that has it. A global one gets a `keep`, `place` or `drop` for each machine concerned, and one `wait` if it fits none.
 *   An inactive unit, or one that is placed but not wanted, gets a `drop` for each machine that has it.
 * - Who comes first: what is placed before what is not; then by name, but each unit after those that it follows.
 *   Global units and others are in one order and obey one conflict rule.
 * - A machine that is gone holds nothing; what cannot be placed elsewhere waits for its return. A presumed one keeps all.
 * - After applying the decisions, the same call answers `keep` and `wait` only.
 */
export function schedule(state: ClusterState): readonly Decision[] {
  const pass = openPass(state);
  keepWhatMayStay(pass);
  settle(pass);
  return report(pass, state);
}
