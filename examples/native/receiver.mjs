// Receives webhooks in the native format and verifies their signature. Set WEBHOOK_SECRET to the
// webhook's secret and run it.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'

const key = Buffer.from((process.env.WEBHOOK_SECRET ?? '').replace(/^whsec_/, ''), 'base64')
if (key.length === 0) throw new Error('set WEBHOOK_SECRET')

function verify(headers, body) {
  const sent = Number(headers['webhook-timestamp'])
  if (!(Math.abs(Date.now() / 1000 - sent) <= 300)) return false
  const mac = createHmac('sha256', key).update(`${headers['webhook-id']}.${sent}.`).update(body)
  const want = Buffer.from('v1,' + mac.digest('base64'))
  return (headers['webhook-signature'] ?? '').split(' ').some((text) => {
    const given = Buffer.from(text)
    return given.length === want.length && timingSafeEqual(given, want)
  })
}

const [host, port] = (process.env.ADDR ?? '127.0.0.1:9002').split(':')
createServer(async (req, res) => {
  const chunks = []
  for await (const chunk of req) chunks.push(chunk)
  const body = Buffer.concat(chunks)
  if (!verify(req.headers, body)) return res.writeHead(401).end('no signature fits')
  console.log(req.headers['webhook-id'], JSON.parse(body).type)
  res.writeHead(204).end()
}).listen(Number(port), host)
