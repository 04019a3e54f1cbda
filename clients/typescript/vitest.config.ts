import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/setup.ts"],
    pool: "threads",
    isolate: false,
    testTimeout: 30_000, // fake time takes none; what is left is how busy the machine is
    // A promise that rejects with nobody looking is a defect of the client.
    dangerouslyIgnoreUnhandledErrors: false,
  },
});
