// Receives triggers of the format solo and verifies the bearer token of their auth. Set
// WEBHOOK_TOKEN to the token and run it.
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'

const token = process.env.WEBHOOK_TOKEN
if (!token) throw new Error('set WEBHOOK_TOKEN')

const digest = (text) => createHash('sha256').update(text).digest()
const want = digest(`Bearer ${token}`)

const [host, port] = (process.env.ADDR ?? '127.0.0.1:9012').split(':')
createServer(async (req, res) => {
  const chunks = []
  for await (const chunk of req) chunks.push(chunk)
  if (!timingSafeEqual(digest(req.headers.authorization ?? ''), want)) return res.writeHead(401).end()
  const { event, customer, proposal, occurred_at } = JSON.parse(Buffer.concat(chunks))
  console.log(event, customer.id, proposal?.id, occurred_at)
  res.writeHead(204).end()
}).listen(Number(port), host)
