// The fake keeps the contract of the real one.
import { FakeSetup } from "../fakes/fake-setup.ts";
import { hostSetupContract } from "./host-setup.ts";

hostSetupContract("fake", async () => {
  const setup = new FakeSetup();
  return {
    setup,
    put: async (path, text) => void setup.files.set(path, { kind: "file", text, mode: 0o644, owner: "root:root" }),
    putFolder: async (path) => void setup.files.set(path, { kind: "folder" }),
    read: async (path) => {
      const found = setup.files.get(path);
      return found?.kind === "file" ? found.text : found?.kind === "link" ? `-> ${found.target}` : found?.kind;
    },
    mode: async (path) => {
      const found = setup.files.get(path);
      return found?.kind === "file" ? found.mode : 0;
    },
    close: async () => undefined,
  };
});
