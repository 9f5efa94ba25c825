// Receives the contract webhook of the format sighten, verifies the bearer token of its auth, and
// says where the signed document is. Set WEBHOOK_TOKEN to the token and run it.
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'

const token = process.env.WEBHOOK_TOKEN
if (!token) throw new Error('set WEBHOOK_TOKEN')

const digest = (text) => createHash('sha256').update(text).digest()
const want = digest(`Bearer ${token}`)

const [host, port] = (process.env.ADDR ?? '127.0.0.1:9042').split(':')
createServer(async (req, res) => {
  const chunks = []
  for await (const chunk of req) chunks.push(chunk)
  if (!timingSafeEqual(digest(req.headers.authorization ?? ''), want)) return res.writeHead(401).end()
  const { site, quote, sub_tasks } = JSON.parse(Buffer.concat(chunks))
  const task = sub_tasks.find((task) => task.category === 'DOCUMENT')
  console.log(site, quote, task.document_status)
  if (task.document_status === 'SIGN') {
    const signed = task.data.documents.find((document) => document.creation_type === 'UPLOADED')
    console.log(task.data.envelopes[0]?.date_signed, signed && `/api/v1/document/${signed.uuid}/download/`)
  }
  res.writeHead(204).end()
}).listen(Number(port), host)
