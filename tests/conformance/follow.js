// Follows the stream at the URL in the mode that is given, with the official client, until it is closed.
// Writes each message as a line.
import { stream } from "@durable-streams/client"

const [url, live] = process.argv.slice(2)
const response = await stream({
  url,
  offset: "-1",
  live: live === "true" ? true : live,
  json: true,
  backoffOptions: { initialDelay: 50, maxDelay: 500, multiplier: 1.3, maxRetries: Infinity },
})
for await (const message of response.jsonStream()) {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}
