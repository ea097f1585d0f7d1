import { defineConfig } from "vitest/config"

/** What runs without root: everything but the suites of `vitest.root.config.ts`. */
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: [
      "test/netns/**",
      "test/conformance/RealKernel.test.ts",
      "test/bench/**",
      "node_modules/**"
    ],
    testTimeout: 20_000
  }
})
