// The agent's answers, read back into reports: a command and an agent may be of different versions. Inner part of report/.
import type { Refusal } from "../domain/placement.ts";
import { type Checked, type ProblemRecord, valid } from "../domain/problem.ts";
import type {
  ClusterReport,
  CommitReport,
  DrainReport,
  HoldReport,
  LeavingUnit,
  LossWait,
  MachineDetail,
  MachineReference,
  MachineReport,
  RestReport,
  UnitDetail,
  UnitFileReport,
  UnitFileText,
  UnitReport,
} from "../domain/report.ts";
import {
  type Guard,
  isBoolean,
  isListOf,
  isMapOf,
  isNumber,
  isOneOf,
  isOptional,
  isRecord,
  isText,
  whole,
} from "./shape.ts";

const isProblem = isRecord<ProblemRecord>({
  code: isText,
  message: isText,
  hint: isOptional(isText),
  file: isOptional(isText),
  line: isOptional(isNumber),
  column: isOptional(isNumber),
  key: isOptional(isText),
});

export const isReference = isRecord<MachineReference>({ id: isText, ip: isText, hostname: isText, alive: isBoolean });

export const isDrain = isRecord<DrainReport>({
  id: isText,
  by: isText,
  sinceMs: isNumber,
  deadlineMs: isOptional(isNumber),
  state: isOneOf("moving", "done", "stopped"),
  because: isOptional(isText),
  left: isOptional(isNumber),
});

export const isRest = isRecord<RestReport>({ losses: isNumber, untilMs: isNumber });

export const isRefusal = isRecord<Refusal>({ rule: isText, machines: isNumber, example: isText });

export const isLossWait = isRecord<LossWait>({
  machine: isOptional(isReference),
  until: isOneOf("stopped", "returned", "heard"),
  unit: isOptional(isText),
  mostMs: isOptional(isNumber),
});

const machine = {
  id: isText,
  ip: isText,
  metadata: isMapOf(isText),
  hostname: isText,
  version: isText,
  leader: isBoolean,
  mayLead: isBoolean,
  cpus: isNumber,
  memoryBytes: isNumber,
  units: isNumber,
  cordoned: isOptional(isBoolean),
  drain: isOptional(isDrain),
  rests: isOptional(isRest),
};
const isMachine = isRecord<MachineReport>(machine);
const isLeaving = isRecord<LeavingUnit>({
  unit: isText,
  stopping: isOptional(isBoolean),
  refusals: isListOf(isRefusal),
});
const isMachineDetail = isRecord<MachineDetail>({ ...machine, leaving: isOptional(isListOf(isLeaving)) });

export const isHold = isRecord<HoldReport>({
  unit: isText,
  target: isText,
  declared: isOptional(isText),
  by: isText,
  why: isOptional(isText),
  atMs: isNumber,
  untilMs: isOptional(isNumber),
});

const isUnit = isRecord<UnitReport>({
  name: isText,
  machine: isReference,
  knowledge: isOneOf("reported", "pending", "lost"),
  target: isOptional(isText),
  commit: isOptional(isText),
  source: isOptional(isText),
  hold: isOptional(isHold),
  started: isOptional(isBoolean),
  restart: isOptional(isText),
  load: isOptional(isText),
  active: isOptional(isText),
  sub: isOptional(isText),
  result: isOptional(isText),
  sinceMs: isOptional(isNumber),
  restarts: isOptional(isNumber),
  hash: isOptional(isText),
  problem: isOptional(isProblem),
});

const unitFile = {
  name: isText,
  source: isText,
  by: isOptional(isText),
  atMs: isOptional(isNumber),
  hold: isOptional(isHold),
  hash: isText,
  desired: isText,
  state: isOptional(isText),
  global: isBoolean,
  template: isBoolean,
  machine: isOptional(isReference),
  description: isOptional(isText),
  file: isText,
};
const isUnitFile = isRecord<UnitFileReport>(unitFile);
const isUnitFileText = isRecord<UnitFileText>({
  ...unitFile,
  text: isText,
  dropIns: isListOf(isRecord<UnitFileText["dropIns"][number]>({ name: isText, file: isText, text: isText })),
});

const isCommit = isRecord<CommitReport>({
  commit: isText,
  ref: isText,
  atMs: isNumber,
  subject: isText,
  author: isText,
});

const isUnitDetail = isRecord<UnitDetail>({
  name: isText,
  commitAtHand: isBoolean,
  file: isOptional(isUnitFile),
  commit: isOptional(isCommit),
  places: isListOf(isUnit),
  refusals: isListOf(isRefusal),
  lossWait: isOptional(isLossWait),
});

type RestingMachine = NonNullable<ClusterReport["machines"]["resting"]>[number];
type CordonedMachine = NonNullable<ClusterReport["machines"]["cordoned"]>[number];

const isCluster = isRecord<ClusterReport>({
  agent: isRecord<ClusterReport["agent"]>({ machine: isText, version: isText }),
  leader: isOptional(isRecord<NonNullable<ClusterReport["leader"]>>({ machine: isReference, epoch: isNumber })),
  adopted: isOptional(isCommit),
  refused: isOptional(
    isRecord<NonNullable<ClusterReport["refused"]>>({
      commit: isText,
      ref: isText,
      atMs: isNumber,
      problems: isListOf(isProblem),
    }),
  ),
  machines: isRecord<ClusterReport["machines"]>({
    alive: isNumber,
    lost: isListOf(isRecord<ClusterReport["machines"]["lost"][number]>({ machine: isReference, units: isNumber })),
    cordoned: isOptional(isListOf(isRecord<CordonedMachine>({ machine: isReference, drain: isOptional(isDrain) }))),
    resting: isOptional(isListOf(isRecord<RestingMachine>({ machine: isReference, rests: isRest }))),
  }),
  units: isRecord<ClusterReport["units"]>({
    files: isOptional(isNumber),
    submitted: isOptional(isNumber),
    waiting: isListOf(isText),
    byState: isMapOf(isNumber),
    troubled: isListOf(isUnit),
  }),
  holds: isListOf(isHold),
  problems: isListOf(isProblem),
});

export interface SyncAnswer {
  readonly outcome: "adopted" | "unchanged" | "refused" | "failed";
  readonly commit?: string;
  readonly problems: readonly ProblemRecord[];
}

const isSync = isRecord<SyncAnswer>({
  outcome: isOneOf("adopted", "unchanged", "refused", "failed"),
  commit: isOptional(isText),
  problems: isListOf(isProblem),
});

export const readMachines = list<MachineReport>("machines", isMachine);
export const readMachine = whole(isMachineDetail);
export const readUnits = list<UnitReport>("units", isUnit);
export const readUnitFiles = list<UnitFileReport>("unitFiles", isUnitFile);
export const readUnitFile = whole(isUnitFileText);
export const readUnit = whole(isUnitDetail);
export const readCluster = whole(isCluster);
export const readSync = whole(isSync);

function list<T>(key: string, guard: Guard): (answer: unknown) => Checked<readonly T[]> {
  const read = whole(isRecord<Readonly<Record<string, readonly T[]>>>({ [key]: isListOf(guard) }));
  return (answer) => {
    const checked = read(answer);
    return checked.ok ? valid(checked.value[key] ?? []) : checked;
  };
}
