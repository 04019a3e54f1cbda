import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/setup.ts"],
    pool: "threads",
    isolate: false,
    testTimeout: 5000,
    // A promise that rejects with nobody looking is a defect of the client.
    dangerouslyIgnoreUnhandledErrors: false,
  },
});
