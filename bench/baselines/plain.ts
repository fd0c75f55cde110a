/**
 * Baseline `plain`: a model behind node:http as a competent engineer writes it in an hour, with nothing else around it.
 *
 *   node plain.js <model> <model.onnx>
 *
 * One thread for an operator, as the gateway has: with the runtime's own choice its idle threads spin on the other cores.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { InferenceSession, Tensor } from 'onnxruntime-node';

const [model = '', file = ''] = process.argv.slice(2);
const session = await InferenceSession.create(file, { intraOpNumThreads: 1 });
const path = `/v2/models/${model}/infer`;

async function answer(body: string): Promise<string> {
  const { id, inputs } = JSON.parse(body);
  const feeds: Record<string, Tensor> = {};
  for (const { name, shape, data } of inputs) feeds[name] = new Tensor('float32', Float32Array.from(data), shape);
  const results = await session.run(feeds);
  const outputs = Object.entries(results).map(([name, { dims, data }]) => ({
    name,
    datatype: 'FP32',
    shape: dims,
    data: Array.from(data as Float32Array),
  }));
  return JSON.stringify({ id, model_name: model, model_version: '1', outputs });
}

const server = createServer((request, response) => {
  if (request.url !== path || request.method !== 'POST') {
    response.writeHead(404).end();
    return;
  }
  const chunks: Buffer[] = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', async () => {
    try {
      const text = await answer(Buffer.concat(chunks).toString());
      response.writeHead(200, { 'content-type': 'application/json' }).end(text);
    } catch (error) {
      response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ error: String(error) }));
    }
  });
});
server.listen(0, '127.0.0.1', () => console.log(`listening ${(server.address() as AddressInfo).port}`));
