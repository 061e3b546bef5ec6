// The fake keeps the contract of the real one.
import { setTimeout as sleep } from "node:timers/promises";
import { FakeSystemd, type FakeStart } from "../fakes/fake-systemd.ts";
import { type Behaviour, systemdContract } from "./systemd.ts";

const starts: Readonly<Record<Behaviour, FakeStart>> = {
  stays: { kind: "up", sub: "exited" },
  ends: { kind: "up", sub: "running" },
  fails: { kind: "fails", status: 3 },
  hangs: { kind: "hangs" },
  "missing-dependency": { kind: "needs", unit: "nowhere.service", how: "missing" },
  "failed-dependency": { kind: "needs", unit: "contract-broken.service", how: "failed" },
};

systemdContract("fake", async () => {
  const machine = new FakeSystemd();
  return {
    open: () => machine.open(),
    behave: (name, behaviour) => machine.onStart(name, starts[behaviour]),
    stopsWithin: (name, ms) => machine.fallsWithin(name, ms),
    ended: async (name) => {
      await sleep(5);
      machine.setState(name, { sub: "exited" });
    },
    addHostUnit: async (name, where) => machine.addHostUnit(name, `/${where}/${name}`),
    addHostAlias: async (alias, of) => machine.addHostAlias(alias, of),
    isWanted: async (name) => machine.isEnabled(name),
    addMadeSlice: async (name) => machine.addMadeSlice(name),
    edit: async (name, text) => machine.edit(name, text),
    hostUnitIntact: async (name) => machine.hostUnit(name) !== undefined,
    endUnits: async () => machine.softReboot(),
    close: async () => machine.reboot(),
  };
});
