/**
 * A model behind fastify, as its documentation shows it: what the baselines `fastify` and `cluster` run.
 *
 * Must not know how many processes there are.
 */
import fastify from 'fastify';
import { InferenceSession, Tensor } from 'onnxruntime-node';

interface InferBody {
  readonly id?: string;
  readonly inputs: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly data: readonly number[];
  }[];
}

/** @returns the port that it listens on */
export async function listen(model: string, file: string, port: number): Promise<number> {
  const session = await InferenceSession.create(file, { intraOpNumThreads: 1 });
  const app = fastify({ logger: false, bodyLimit: 64 * 2 ** 20 });
  app.post<{ Body: InferBody }>(`/v2/models/${model}/infer`, async ({ body: { id, inputs } }) => {
    const feeds: Record<string, Tensor> = {};
    for (const { name, shape, data } of inputs) feeds[name] = new Tensor('float32', Float32Array.from(data), shape);
    const results = await session.run(feeds);
    const outputs = Object.entries(results).map(([name, { dims, data }]) => ({
      name,
      datatype: 'FP32',
      shape: dims,
      data: Array.from(data as Float32Array),
    }));
    return { id, model_name: model, model_version: '1', outputs };
  });
  const address = await app.listen({ host: '127.0.0.1', port });
  return Number(new URL(address).port);
}
