// Growth and failover as one drawing, light or dark as the reader's screen is. From results to SVG, and nothing else.
import { type Results, type Row, grouped } from "./figures.ts";
import { phases } from "./scale.ts";

const width = 920;
const height = 380;
const plot = { top: 64, height: 250, width: 350 } as const;
const lefts = [64, 530] as const;

/** fleet 1.0.0 on the same kind of machine, and the size up to which its authors recommended it. */
const fleet = { units: 10_000, seconds: 23, mostUnits: 1_000, mostMachines: 100 } as const;

interface Axis {
  readonly from: number;
  readonly to: number;
  readonly ticks: readonly number[];
  readonly isLog: boolean;
  readonly label: (value: number) => string;
}

/** Undefined where the results lack what is drawn: `placement`, `scale` and `course`. */
export function draw({ placement, scale, course }: Results): string | undefined {
  const died = scale?.find((each) => each["name"] === phases.die);
  if (placement === undefined || died === undefined || course === undefined) return undefined;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title(placement)}">
<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.head { font-weight: 600; font-size: 15px }
.soft { fill: #59636e }
.end { text-anchor: end }
.mid { text-anchor: middle }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.ours { stroke: #0969da; fill: none; stroke-width: 2 }
.dot { fill: #0969da }
.theirs { fill: #bc4c00 }
.mark { stroke: #bc4c00; stroke-width: 1.5; stroke-dasharray: 5 4 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.soft { fill: #9198a1 }
.grid { stroke: #3d444d }
.ours { stroke: #4493f8 }
.dot { fill: #4493f8 }
.theirs { fill: #f0883e }
.mark { stroke: #f0883e }
}
</style>
${growth(placement)}
${failover(died, course)}
</svg>
`;
}

function title(placement: readonly Row[]): string {
  const last = placement.at(-1);
  return `Placement of up to ${grouped(Number(last?.["units"]))} units, and a cluster after one machine in ten has died`;
}

function growth(rows: readonly Row[]): string {
  const x: Axis = {
    from: 700,
    to: 4_000_000,
    ticks: [1_000, 10_000, 100_000, 1_000_000],
    isLog: true,
    label: grouped,
  };
  const y: Axis = { from: 0.001, to: 100, ticks: [0.001, 0.01, 0.1, 1, 10, 100], isLog: true, label: String };
  const panel = new Panel(lefts[0], x, y);
  const points = rows.map((row) => [Number(row["units"]), Number(row["seconds"])] as const);
  const labels = points.map((point, index) =>
    panel.text(
      point,
      `${short(point[1])} s`,
      index === points.length - 1 ? { dx: -9, dy: -6, kind: "end" } : { dx: 8, dy: 16 },
    ),
  );
  return [
    panel.frame("Placement from nothing, seconds by units"),
    panel.upright(fleet.mostUnits),
    panel.text([fleet.mostUnits, 100], `fleet: up to ${grouped(fleet.mostUnits)} units`, {
      ...{ dx: 6, dy: 12, kind: "theirs" },
    }),
    panel.dot([fleet.units, fleet.seconds], "theirs"),
    panel.text([fleet.units, fleet.seconds], `fleet: ${fleet.seconds} s`, { dx: 9, dy: 4, kind: "theirs" }),
    panel.line(points),
    ...points.map((point) => panel.dot(point, "dot")),
    ...labels,
  ].join("\n");
}

function failover(died: Row, course: readonly Row[]): string {
  const points = course.map((row) => [Number(row["seconds"]), Number(row["active"])] as const);
  const all = Number(died["units"]);
  const least = Math.min(...points.map(([, active]) => active));
  const step = niceStep((all - least) / 4);
  const from = Math.floor(least / step) * step;
  const seconds = Number(died["seconds"]);
  const span = niceStep(seconds / 5);
  const end = Math.ceil((seconds * 1.25) / span) * span;
  const x: Axis = { from: 0, to: end, ticks: ticksOf(0, end, span), isLog: false, label: String };
  const y: Axis = { from, to: all, ticks: ticksOf(from, all, step), isLog: false, label: grouped };
  const panel = new Panel(lefts[1], x, y);
  const gone = Number(died["goneSeconds"]);
  return [
    panel.frame(`${String(died["what"])}: units that run, by seconds`),
    panel.upright(gone),
    panel.text([gone, all], `leases over: ${gone.toFixed(1)} s`, { dx: -7, dy: 18, kind: "theirs end" }),
    panel.line(steps([...points, [seconds, all]])),
    panel.dot([seconds, all], "dot"),
    panel.text([seconds, all], `${seconds.toFixed(1)} s`, { dx: -8, dy: -6, kind: "end" }),
  ].join("\n");
}

type Point = readonly [x: number, y: number];

/** One plot with its axes, in the drawing's own units. */
class Panel {
  readonly #left: number;
  readonly #x: Axis;
  readonly #y: Axis;

  constructor(left: number, x: Axis, y: Axis) {
    this.#left = left;
    this.#x = x;
    this.#y = y;
  }

  frame(head: string): string {
    const bottom = plot.top + plot.height;
    const right = this.#left + plot.width;
    const across = this.#y.ticks.map((value) => {
      const at = this.#at([this.#x.from, value])[1];
      return `<line class="grid" x1="${this.#left}" x2="${right}" y1="${at}" y2="${at}"/>
<text class="soft end" x="${this.#left - 8}" y="${at + 4}">${this.#y.label(value)}</text>`;
    });
    const along = this.#x.ticks.map(
      (value) =>
        `<text class="soft mid" x="${this.#at([value, this.#y.from])[0]}" y="${bottom + 20}">${this.#x.label(value)}</text>`,
    );
    return [`<text class="head" x="${this.#left - 40}" y="28">${head}</text>`, ...across, ...along].join("\n");
  }

  line(points: readonly Point[]): string {
    return `<polyline class="ours" points="${points.map((point) => this.#at(point).join(",")).join(" ")}"/>`;
  }

  dot(point: Point, kind: string): string {
    const [x, y] = this.#at(point);
    return `<circle class="${kind}" cx="${x}" cy="${y}" r="4"/>`;
  }

  upright(value: number): string {
    const x = this.#at([value, this.#y.from])[0];
    return `<line class="mark" x1="${x}" x2="${x}" y1="${plot.top}" y2="${plot.top + plot.height}"/>`;
  }

  text(
    point: Point,
    text: string,
    { dx, dy, kind = "" }: { readonly dx: number; readonly dy: number; readonly kind?: string },
  ): string {
    const [x, y] = this.#at(point);
    return `<text class="${kind}" x="${tenth(x + dx)}" y="${tenth(y + dy)}">${text}</text>`;
  }

  #at([x, y]: Point): Point {
    const across = this.#left + share(this.#x, x) * plot.width;
    const down = plot.top + (1 - share(this.#y, y)) * plot.height;
    return [tenth(across), tenth(down)];
  }
}

/** Each value holds until the next. */
function steps(points: readonly Point[]): readonly Point[] {
  return points.flatMap((point, index): readonly Point[] => {
    const before = points[index - 1];
    return before === undefined ? [point] : [[point[0], before[1]], point];
  });
}

/** Two digits are enough to read. */
function short(value: number): string {
  return String(Number(value.toPrecision(2)));
}

/** Where on the axis a value lies: 0 at its beginning, 1 at its end, and never outside. */
function share({ from, to, isLog }: Axis, value: number): number {
  const at = isLog ? Math.log(value / from) / Math.log(to / from) : (value - from) / (to - from);
  return Math.min(1, Math.max(0, at));
}

function ticksOf(from: number, to: number, step: number): readonly number[] {
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step);
}

/** 1, 2 or 5 times a power of ten, at least this much. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((each) => each * power >= least) ?? 10);
}

function tenth(value: number): number {
  return Math.round(value * 10) / 10;
}
