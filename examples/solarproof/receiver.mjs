// Receives webhooks of the format solarproof. Nothing in them can be verified, so the hookUrl has
// a token in it: set WEBHOOK_TOKEN to a long random text, subscribe …/hook?token=<that>, and run it.
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'

const token = process.env.WEBHOOK_TOKEN
if (!token) throw new Error('set WEBHOOK_TOKEN')

const digest = (text) => createHash('sha256').update(text).digest()
const want = digest(token)

function nameOf(event) {
  if (event.activity_type) return event.activity_type
  if (event.pkcustomerquotationid) return 'recent_draft_project'
  return 'new_status' in event ? 'customer_status_change' : 'customer_created'
}

const [host, port] = (process.env.ADDR ?? '127.0.0.1:9022').split(':')
createServer(async (req, res) => {
  const chunks = []
  for await (const chunk of req) chunks.push(chunk)
  const given = new URL(req.url, 'http://localhost').searchParams.get('token') ?? ''
  if (!timingSafeEqual(digest(given), want)) return res.writeHead(401).end()
  console.log(req.headers['webhook-id'], nameOf(JSON.parse(Buffer.concat(chunks))))
  res.writeHead(200).end('OK') // 200 alone is success, within 5 seconds
}).listen(Number(port), host)
