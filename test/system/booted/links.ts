// Bad links between what is plugged into a network: packets to one address or all are lost, always or by chance, one way or
// both; or a link is narrow and full, so that everything on it is late. By tc, which every Linux with iproute2 has.
import { type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { type Network } from "./network.ts";

/** Something that is plugged in, as machines are. */
export interface End {
  readonly name: string;
  readonly address: string;
  /** Its end on the bridge. */
  readonly port: string;
}

export interface Loss {
  readonly from: End;
  /** Undefined: whatever it sends, to anybody. */
  readonly to?: End;
  /** 100 unless set: the link is cut in this direction. */
  readonly percent?: number;
}

/** Ends the trouble; safe to call twice. */
export type Mend = () => Promise<void>;

/** A narrow link whose queue always holds as much of others' packets: so late is what passes, about half a second. */
const narrowRate = "256kbit";
/** What fills it is bounded by its sender's buffer, of which the kernel counts each packet at more than its length. */
const fillBytes = 700;
const fillBufferBytes = 34_000;
/** Far above that: nothing is lost. */
const narrowQueueBytes = 256_000;

/** Classic BPF, as tc(8) takes it: offsets are those of Ethernet and IPv4. */
const destinationAt = 30;
const randomNumberAt = 0xffff_f000 + 56;
const shot = 2;
const unspecified = 0xffff_ffff;

export class Links {
  readonly #network: Network;
  /** By port: where filters can be put, once this has come about. */
  readonly #ready = new Map<string, Promise<unknown>>();
  #filters = 0;

  constructor(network: Network) {
    this.#network = network;
  }

  /** Loses packets until it is mended. */
  async lose({ from, to, percent = 100 }: Loss): Promise<Mend> {
    const ready = this.#ready.get(from.port) ?? this.#network.inWorld('tc qdisc add dev "$1" clsact', [from.port]);
    this.#ready.set(from.port, ready);
    await ready;
    const number = String(++this.#filters);
    const code = lossProgram(to?.address, percent);
    const where = 'dev "$1" ingress pref "$2" protocol ip';
    await this.#network.inWorld(`tc filter add ${where} bpf da bytecode "$3"`, [from.port, number, code]);
    return onceOnly(async () => {
      await this.#network.inWorld(`tc filter del ${where}`, [from.port, number]);
    });
  }

  /** Makes everything to and from an end late, by about half a second each way, until it is mended. */
  async crowd(end: End): Promise<Mend> {
    const ends = [end.name, end.port];
    await this.#network.inWorld(crowdScript, [...ends, narrowRate, String(narrowQueueBytes)]);
    const fill = (target: string, where: { end?: string }): ChildProcess => {
      const child = this.#network.spawn([process.execPath, "-e", fillScript, target], where);
      child.stdout?.resume();
      child.stderr?.resume();
      return child;
    };
    const fillers = [fill(this.#network.address, { end: end.name }), fill(end.address, {})];
    return onceOnly(async () => {
      await Promise.all(fillers.map(endOf));
      await this.#network.inWorld('tc -n "$1" qdisc del dev eth0 root && tc qdisc del dev "$2" root', ends);
    });
  }
}

/** Drops packets to an IPv4 address, or all, with this chance; leaves the others to the next filter. */
function lossProgram(to: string | undefined, percent: number): string {
  const chance = [
    [0x20, 0, 0, randomNumberAt],
    [0x94, 0, 0, 100],
    [0x35, 1, 0, percent],
    [0x06, 0, 0, shot],
    [0x06, 0, 0, unspecified],
  ];
  const address = to?.split(".").reduce((number, part) => number * 256 + Number(part), 0);
  const match =
    address === undefined
      ? []
      : [
          [0x20, 0, 0, destinationAt],
          [0x15, 0, 4, address],
        ];
  const steps = [...match, ...chance];
  return [String(steps.length), ...steps.map((step) => step.join(" "))].join(",");
}

/** Both directions of the end $1, whose port on the bridge is $2: rate $3, queue $4 bytes. */
const crowdScript = String.raw`
set -eu
tc -n "$1" qdisc add dev eth0 root tbf rate "$3" burst 4k limit "$4"
tc qdisc add dev "$2" root tbf rate "$3" burst 4k limit "$4"
`;

const fillScript = String.raw`
const socket = require("node:dgram").createSocket("udp4");
const full = Buffer.alloc(${fillBytes});
const send = () => socket.send(full, 9, process.argv[1], () => setImmediate(send));
socket.bind(0, () => {
  socket.setSendBufferSize(${fillBufferBytes});
  for (let index = 0; index < 2; index++) send();
});
`;

async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

function onceOnly(mend: () => Promise<void>): Mend {
  let done: Promise<void> | undefined;
  return () => (done ??= mend());
}
