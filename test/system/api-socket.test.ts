// The API's unix socket on a machine that boots: its group, made by the agent within its hardened unit; and systemd in the
// agent's place as the one that makes and keeps it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { flotillaParts } from "./booted/flotilla.ts";
import { type BootedMachine, bootMachine } from "./booted/machine.ts";
import { Network } from "./booted/network.ts";
import { whyNoMachines } from "./booted/why.ts";

const socket = "/run/flotilla/flotilla.sock";
const port = 8080;

describe("the API's socket on a machine", { skip: (await whyNoMachines()) ?? false }, () => {
  let network: Network;
  let machine: BootedMachine;
  const systemctl = (...args: readonly string[]) => machine.output(["systemctl", ...args]);
  const value = async (unit: string, property: string): Promise<string> =>
    (await systemctl("show", "--value", `--property=${property}`, unit)).trim();
  const stat = async (what: string): Promise<string> => (await machine.output(["stat", "-c", what, socket])).trim();
  const asks = async (): Promise<number> => (await machine.run(["flotilla", "list-machines"])).status;
  const answers = () => machine.waitFor("the agent", async () => ((await asks()) === 0 ? true : undefined));

  before(async () => {
    network = await Network.open();
    const { files, binds } = await flotillaParts();
    machine = await bootMachine({
      network,
      name: "socket",
      address: "10.77.0.31",
      binds,
      files: { ...files, "/etc/flotilla/no-bootstrap": "" },
    });
  });
  after(() => network.close());

  test("it is for root, and for the group flotilla where there is one", async () => {
    await systemctl("start", "flotilla.service");
    await answers();
    assert.equal(await stat("%U %G %a"), "root root 600");
    await machine.output(["groupadd", "--system", "flotilla"]);
    await machine.output(["useradd", "--groups=flotilla", "member"]);
    await machine.output(["useradd", "other"]);
    await systemctl("restart", "flotilla.service");
    await answers();
    assert.equal(await stat("%U %G %a"), "root flotilla 660");
    const as = async (user: string): Promise<number> =>
      (
        await machine.run([
          "setpriv",
          `--reuid=${user}`,
          "--regid=nogroup",
          "--init-groups",
          "flotilla",
          "list-machines",
        ])
      ).status;
    assert.equal(await as("member"), 0);
    assert.notEqual(await as("other"), 0);
  });

  test("systemd holds it: whoever asks starts the agent, and it stays through restarts", async () => {
    await systemctl("stop", "flotilla.service");
    await systemctl("start", "flotilla.socket");
    const made = await stat("%i");
    assert.equal(await value("flotilla.service", "ActiveState"), "inactive");
    assert.equal(await asks(), 0, "the one that started it is answered");
    assert.equal(await value("flotilla.service", "ActiveState"), "active");
    await systemctl("restart", "flotilla.service");
    assert.equal(await asks(), 0, "the socket was there all the time");
    await systemctl("stop", "flotilla.service");
    assert.equal(await stat("%i %a"), `${made} 660`, "it is systemd's");
  });

  test("an address in its unit that anybody reaches is refused without a token, and served with one", async () => {
    const unit = `[Socket]\nListenStream=${port}\n`;
    await systemctl("stop", "flotilla.socket", "flotilla.service");
    await machine.output(["mkdir", "-p", "/etc/systemd/system/flotilla.socket.d"]);
    await machine.write("/etc/systemd/system/flotilla.socket.d/tcp.conf", unit);
    await systemctl("daemon-reload");
    await systemctl("start", "flotilla.socket");
    const status = async (...more: readonly string[]): Promise<string> => {
      const url = `http://${machine.address}:${port}/v2`;
      const asked = ["curl", "--silent", "--max-time", "10", "--output", "/dev/null", "--write-out", "%{http_code}"];
      return (await machine.run([...asked, ...more, url])).stdout;
    };
    assert.equal(await status(), "000");
    await machine.waitFor("the refusal in the journal", async () =>
      /Cannot serve the API on \[::\]:8080 to whoever reaches it/.test(
        await machine.output(["journalctl", "--no-pager", "-u", "flotilla.service"]),
      )
        ? true
        : undefined,
    );
    await systemctl("stop", "flotilla.socket", "flotilla.service");
    await machine.write("/etc/flotilla/token", { text: "a-token-of-the-tests\n", mode: 0o600 });
    await machine.write("/etc/flotilla/flotilla.conf", { text: "[API]\nTokenFile=/etc/flotilla/token\n", mode: 0o600 });
    await systemctl("reset-failed");
    await systemctl("start", "flotilla.socket");
    assert.equal(await status(), "401");
    assert.equal(await status("--header", "Authorization: Bearer a-token-of-the-tests"), "200");
  });
});
