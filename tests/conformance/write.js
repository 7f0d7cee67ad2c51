// Appends so many numbers to the stream at the URL with the official client's idempotent producer, and closes it.
import { DurableStream, IdempotentProducer } from "@durable-streams/client"

const [url, count] = process.argv.slice(2)
const stream = new DurableStream({ url, contentType: "application/json" })
const failures = []
const producer = new IdempotentProducer(stream, "writer", {
  maxInFlight: 5,
  lingerMs: 0,
  maxBatchBytes: 1,
  onError: (error) => failures.push(String(error)),
})
for (let n = 0; n < Number(count); n++) producer.append(JSON.stringify(n))
await producer.flush()
await producer.close()
if (failures.length > 0) throw new Error(failures.join("\n"))
