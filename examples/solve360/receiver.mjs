// Receives notifications of the format solve360, as JSON or a form, and verifies their signature.
// Set WEBHOOK_SECRET to the hook's secret and run it.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'

const secret = process.env.WEBHOOK_SECRET
if (!secret) throw new Error('set WEBHOOK_SECRET')

function verify(signature, body) {
  const want = createHmac('sha256', secret).update(body).digest()
  const given = Buffer.from(signature ?? '', 'hex')
  return given.length === want.length && timingSafeEqual(given, want)
}

function parse(contentType, body) {
  if (contentType === 'application/json') return JSON.parse(body)
  const { type, objectid, content } = Object.fromEntries(new URLSearchParams(body.toString()))
  return { type, objectid: Number(objectid), content: JSON.parse(content) }
}

const [host, port] = (process.env.ADDR ?? '127.0.0.1:9032').split(':')
createServer(async (req, res) => {
  const chunks = []
  for await (const chunk of req) chunks.push(chunk)
  const body = Buffer.concat(chunks)
  if (!verify(req.headers['x-solve360-hmac-sha256'], body)) return res.writeHead(401).end()
  const { type, objectid, content } = parse(req.headers['content-type'], body)
  console.log(type, objectid, content.updated_at)
  res.writeHead(204).end()
}).listen(Number(port), host)
