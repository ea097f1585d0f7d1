/**
 * Makes a clone ready for the command that calls it, from nothing, and says what it does.
 *
 *     node scripts/setup.mjs [--for start|check|test|root|build]
 *
 * npm calls it before `start`, `test`, `check` and the others. It must be a *pre* hook: a shell
 * that has run the machine's `node` once would go on using that one after the pinned Node is
 * there. So this is plain JavaScript for any Node from 20 on, and imports no package.
 *
 * What is compared: the packages of `package-lock.json` with npm's own record of what it put into
 * `node_modules`, which npm writes last (half an installation has none); the addon with a digest of
 * everything that goes into it. Nothing to do costs 0.1 s and prints nothing.
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { addonPath, buildNative, compiler, flags, nodeHeaders } from "./build-native.mjs"

const root = fileURLToPath(new URL("..", import.meta.url))
const recursionMark = "CONNTRACKD_SETUP_RUNNING"

/** Programs, the Debian packages they come in, and whether nothing works without them. */
const tools = {
  compiler: { programs: [compiler()], packages: ["g++"], essential: true },
  network: { programs: ["ip", "nft"], packages: ["iproute2", "nftables"], essential: false },
  capture: { programs: ["tcpdump"], packages: ["tcpdump"], essential: false },
  python: { programs: ["python3"], packages: ["python3"], essential: false },
  reference: {
    programs: ["conntrackd", "conntrack"],
    packages: ["conntrackd", "conntrack"],
    essential: true
  }
}

/** `npm start` decides alike (`test/demo/demo.ts`): on a simulated kernel nothing is native. */
const isSimulated = (process.env.KERNEL ?? (process.getuid?.() === 0 ? "real" : "simulated")) ===
  "simulated"

/** What each purpose needs besides the packages of npm. */
const purposes = {
  check: { addon: false, tools: [] },
  build: { addon: true, tools: ["compiler"] },
  start: isSimulated
    ? { addon: false, tools: [] }
    : { addon: true, tools: ["compiler", "network"] },
  test: { addon: true, tools: ["compiler", "network", "python", "capture"] },
  root: { addon: true, tools: ["compiler", "network", "python", "capture", "reference"] }
}

const say = (line) => process.stdout.write(`setup: ${line}\n`)

class SetupFailed extends Error {}

/** Runs a command quietly; shows what it said, and gives up, when it fails. */
const run = (what, command, args, env = {}) => {
  const done = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, ...env },
    maxBuffer: 1 << 28
  })
  if (done.status === 0) return
  const reason = done.error?.message ?? `status ${done.status ?? done.signal}`
  process.stderr.write(`${done.stdout ?? ""}${done.stderr ?? ""}`)
  throw new SetupFailed(`${what} failed (${reason})`)
}

const searchPath = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"]

const isInstalled = (program) =>
  program.includes("/")
    ? existsSync(program)
    : searchPath.some((directory) => directory !== "" && existsSync(join(directory, program)))

const readJson = (path) => {
  try {
    return JSON.parse(readFileSync(path, "utf8"))
  } catch {
    return undefined // Missing, or cut short: both mean "not installed".
  }
}

/** Why `npm ci` has to run, or undefined. */
const packagesProblem = () => {
  const wanted = readJson(join(root, "package-lock.json"))?.packages
  if (wanted === undefined) throw new SetupFailed("package-lock.json is missing or unreadable")
  const present = readJson(join(root, "node_modules", ".package-lock.json"))?.packages
  if (present === undefined) return "they are missing or incomplete"
  for (const [path, { optional, peer, version }] of Object.entries(wanted)) {
    if (path === "") continue
    const installed = present[path]
    if (installed === undefined) {
      // Those for other machines are left out by npm.
      if (optional === true || peer === true) continue
      return `${path.replace("node_modules/", "")} is missing`
    }
    if (installed.version !== version) return `${path.replace("node_modules/", "")} is out of date`
  }
  const node = join(root, "node_modules", ".bin", "node")
  if (!existsSync(node)) return "the pinned Node is missing"
  return undefined
}

const installPackages = () => {
  if (process.arch !== "x64" && process.arch !== "arm64") {
    throw new SetupFailed(`no Node is pinned for ${process.arch}; x64 and arm64 are supported`)
  }
  const problem = packagesProblem()
  if (problem === undefined) return
  say(`installing the packages of package-lock.json (npm ci): ${problem}`)
  // All kinds of packages whatever the user's settings say: the pinned Node is an optional one.
  const args = ["ci", "--include=dev", "--include=optional", "--no-audit", "--no-fund"]
  const npm = process.env.npm_execpath
  const env = { [recursionMark]: "1" }
  if (npm !== undefined && npm.endsWith(".js")) run("npm ci", process.execPath, [npm, ...args], env)
  else run("npm ci", "npm", args, env)
  const left = packagesProblem()
  if (left !== undefined) throw new SetupFailed(`npm ci ended well, but ${left}`)
}

/** Those of the named tools that have a program missing. */
const missingOf = (names) =>
  names
    .map((name) => tools[name])
    .filter(({ programs }) => programs.some((program) => !isInstalled(program)))

/** Installs missing Debian packages as root; otherwise names them, and fails when it must. */
const installTools = (names) => {
  const packages = missingOf(names).flatMap((tool) => tool.packages)
  if (packages.length === 0) return
  if (process.getuid?.() === 0 && isInstalled("apt-get")) {
    say(`installing Debian packages: ${packages.join(" ")}`)
    const env = { DEBIAN_FRONTEND: "noninteractive" }
    withoutServices(() => {
      run("apt-get update", "apt-get", ["-qq", "update"], env)
      const install = ["-qq", "install", "--yes", "--no-install-recommends", ...packages]
      run("apt-get install", "apt-get", install, env)
    })
  } else {
    say(`please install: ${packages.join(" ")} (Debian packages; as root this is done for you)`)
  }
  const essential = missingOf(names).filter((tool) => tool.essential)
  if (essential.length === 0) return
  const programs = essential.flatMap((tool) => tool.programs)
  throw new SetupFailed(`nothing works without ${programs.join(" and ")}`)
}

/** Debian starts the services it installs, unless this file forbids it. */
const withoutServices = (install) => {
  const policy = "/usr/sbin/policy-rc.d"
  if (existsSync(policy)) return install()
  writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 })
  try {
    install()
  } finally {
    rmSync(policy, { force: true })
  }
}

const addonDigest = () => {
  const digest = createHash("sha256")
  const native = join(root, "native")
  for (const name of readdirSync(native).sort()) {
    if (/\.(cc|h)$/.test(name)) digest.update(name).update(readFileSync(join(native, name)))
  }
  digest.update(JSON.stringify([flags, process.arch]))
  digest.update(readFileSync(join(nodeHeaders(), "node_version.h")))
  digest.update(readFileSync(join(root, "node_modules", "node-addon-api", "package.json")))
  return digest.digest("hex")
}

const buildAddon = async () => {
  const stamp = `${addonPath()}.digest`
  const digest = addonDigest()
  const built = existsSync(addonPath()) && existsSync(stamp) &&
    readFileSync(stamp, "utf8") === digest
  if (built) return
  say("building the native addon")
  try {
    await buildNative()
  } catch (error) {
    throw new SetupFailed(`building the native addon failed: ${error.message}`)
  }
  writeFileSync(stamp, digest)
}

const main = async () => {
  // `npm ci` inside a set-up must not start another one.
  if (process.env[recursionMark] !== undefined) return
  const at = process.argv.indexOf("--for")
  const name = at < 0 ? "start" : process.argv[at + 1]
  const purpose = Object.hasOwn(purposes, name ?? "") ? purposes[name] : undefined
  if (purpose === undefined) {
    throw new SetupFailed(`--for takes one of ${Object.keys(purposes).join(", ")}`)
  }
  if (process.platform !== "linux") throw new SetupFailed("this project needs Linux")
  installTools(purpose.tools)
  installPackages()
  if (purpose.addon) await buildAddon()
}

try {
  await main()
} catch (error) {
  if (!(error instanceof SetupFailed)) throw error
  process.stderr.write(`setup: ${error.message}\n`)
  process.exitCode = 1
}
