import { defineConfig } from "vitest/config"

/** Suites that need root: real kernels in private namespaces, one file after the other. */
export default defineConfig({
  test: {
    include: ["test/netns/**/*.test.ts", "test/conformance/RealKernel.test.ts"],
    fileParallelism: false,
    passWithNoTests: false,
    testTimeout: 120_000,
    hookTimeout: 60_000
  }
})
