import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["*.test.js"],
    // Some of the suite's tests make 200 appends one after the other, and each is a transaction in Kafka.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
