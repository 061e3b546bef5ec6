// Makes sure that the programs which the system tests need are there: installs them where it may (root, apt), and says
// plainly what is left out where it may not. Plain JavaScript without imports from npm; always ends with 0.
import { spawnSync } from "node:child_process";
import { accessSync, chmodSync, constants, existsSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

const wanted = [
  { program: "etcd", package: "etcd-server", without: "tests of the etcd registry and of clusters on it" },
  { program: "git", package: "git", without: "tests of git transports and of clusters" },
  { program: "systemctl", package: "systemd", without: "tests of systemd and of clusters" },
  { program: "dbus-daemon", package: "dbus", without: "tests of systemd over a message bus" },
  { program: "sshd", package: "openssh-server", without: "tests of git over ssh" },
  { program: "ssh", package: "openssh-client", without: "tests of git over ssh" },
  { program: "openssl", package: "openssl", without: "tests of TLS" },
  { program: "systemd-nspawn", package: "systemd-container", without: "tests on machines that boot" },
  { program: "genisoimage", package: "genisoimage", without: "a test of volumes of iso9660" },
  { program: "mcopy", package: "mtools", without: "a test of volumes of vfat" },
  { program: "ip", package: "iproute2", without: "tests on machines that boot" },
];

let missing = wanted.filter(({ program }) => !find(program));
if (missing.length > 0 && process.getuid?.() === 0 && find("apt-get")) {
  install([...new Set(missing.map((each) => each.package))]);
  missing = missing.filter(({ program }) => !find(program));
}
for (const each of missing) {
  console.error(
    `Left out: ${each.without}. "${each.program}" is missing (Debian and Ubuntu: apt-get install ${each.package})`,
  );
}

/** The daemons among the packages are wanted as programs only: none of them may be started as a service. */
function install(packages) {
  console.error(`Installing ${packages.join(", ")} ...`);
  const policy = "/usr/sbin/policy-rc.d";
  const isPolicyOurs = !existsSync(policy);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  const apt = (...args) =>
    spawnSync("apt-get", args, { env, encoding: "utf8", timeout: 600_000, maxBuffer: 64 * 1024 * 1024 });
  const options = ["install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"];
  try {
    if (isPolicyOurs) {
      writeFileSync(
        policy,
        "#!/bin/sh\n# Placed by flotilla's tests while they install packages: no service is started.\nexit 101\n",
      );
      chmodSync(policy, 0o755);
    }
    let result = apt(...options, ...packages);
    if (result.status !== 0) {
      // The list of packages may be missing or old.
      apt("update", "-o", "DPkg::Lock::Timeout=120");
      result = apt(...options, ...packages);
    }
    if (result.status !== 0)
      console.error(`apt-get could not install them:\n${(result.stderr ?? String(result.error)).trim().slice(-2_000)}`);
  } catch (error) {
    console.error(`Could not install them: ${error.message}`);
  } finally {
    if (isPolicyOurs) rmSync(policy, { force: true });
  }
}

/** Whether the program is in PATH, or where daemons are, which PATH may lack. */
function find(program) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin", "/usr/local/sbin"];
  return folders.some((folder) => {
    if (folder === "") return false;
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
