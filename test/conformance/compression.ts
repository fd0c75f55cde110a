/**
 * Every pair of codings on a real request and a real reply.
 *
 * Must not know the list of cases.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib';
import { call } from '../raw-http.js';
import { differenceOf, simpleOf, sumOf } from './cases.js';
import { httpAnswer } from './doors.js';

const same = (bytes: Buffer): Buffer => bytes;
const codings = {
  gzip: { deflate: gzipSync, inflate: gunzipSync },
  deflate: { deflate: deflateSync, inflate: inflateSync },
  identity: { deflate: same, inflate: same },
} as const;
const names = ['gzip', 'deflate', 'identity'] as const;
const rows = 64;

export async function checkCompression(context: TestContext, origin: string): Promise<void> {
  const port = Number(new URL(origin).port);
  const { inputs } = simpleOf(rows);
  const heads = inputs.map(
    ({ name, bytes }) =>
      `{"name":"${name}","shape":[${rows},16],"datatype":"INT32","parameters":{"binary_data_size":${bytes.length}}}`,
  );
  const json = `{"inputs":[${heads}],"parameters":{"binary_data_output":true}}`;
  const body = Buffer.concat([Buffer.from(json), ...inputs.map(({ bytes }) => bytes)]);
  for (const sent of names) {
    for (const asked of names) {
      await context.test(
        `a request in ${sent}, its reply in ${asked}: lengths in headers count what is inside`,
        async () => {
          const headers = {
            'Content-Encoding': sent,
            'Accept-Encoding': asked,
            'Inference-Header-Content-Length': `${json.length}`,
          };
          const reply = await call(port, {
            path: '/v2/models/simple/infer',
            headers,
            body: codings[sent].deflate(body),
          });
          assert.equal(reply.headers.get('content-encoding'), asked === 'identity' ? undefined : asked);
          const { code, text, outputs } = httpAnswer({ ...reply, body: codings[asked].inflate(reply.body) });
          assert.equal(code, 'OK', text);
          assert.deepEqual(
            outputs.map(({ bytes }) => bytes),
            [sumOf(rows).bytes, differenceOf(rows).bytes],
          );
        },
      );
    }
  }
}
