// Boots one machine, says on a line where it is, and waits to be killed. For booted.test.ts.
import { bootMachine } from "./booted/machine.ts";
import { Network } from "./booted/network.ts";

const network = await Network.open();
const machine = await bootMachine({ network, name: "orphan", address: "10.77.0.11" });
console.log(JSON.stringify({ group: network.group, pid: network.pid, init: machine.pid }));
