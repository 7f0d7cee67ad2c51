// The suite against the gateway at HEADRACE_URL, whose long polls wait for HEADRACE_LONG_POLL_S.
// What is left out, forks, is chosen by `-t` (test_durable_streams.py).
import { runConformanceTests } from "@durable-streams/server-conformance-tests"

runConformanceTests({
  baseUrl: process.env.HEADRACE_URL,
  longPollTimeoutMs: Number(process.env.HEADRACE_LONG_POLL_S) * 1000,
})
