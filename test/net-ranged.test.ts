/** Going on in the middle of a file: only with exactly the part that was asked for, of exactly the same file. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Answer } from '../src/registry/net/http.js';
import { openRange, refusalOf, strongTagOf } from '../src/registry/net/ranged.js';

async function* nothing(): AsyncGenerator<Uint8Array, void> {}

function answerOf(status: number, headers: Record<string, string>, disposed: number[] = []): Answer {
  const url = new URL('https://models.example/x');
  return { status, headers, url, body: nothing(), dispose: () => void disposed.push(status) };
}

/** Asks for the rest of a file of which 10 bytes are there; answers with `part` to a range, with `whole` without. */
async function resumed(part: Answer, whole: Answer) {
  const asked: (string | undefined)[] = [];
  const ask = async (range: string | undefined) => {
    asked.push(range);
    return range === undefined ? whole : part;
  };
  const { offset, bytes, etag } = await openRange({ offset: 10, etag: '"a"' }, ask, 'x');
  return { asked, offset, bytes, etag };
}

const whole = answerOf(200, { etag: '"b"', 'content-length': '100' });
const range = (text: string, etag = '"a"') => ({ 'content-range': text, etag });

test('the part that was asked for is gone on with', async () => {
  assert.deepEqual(await resumed(answerOf(206, range('bytes 10-99/100')), whole), {
    asked: ['bytes=10-'],
    offset: 10,
    bytes: 100,
    etag: '"a"',
  });
});

test('a whole file instead of its part starts over without another request', async () => {
  assert.deepEqual(await resumed(whole, whole), { asked: ['bytes=10-'], offset: 0, bytes: 100, etag: '"b"' });
});

test('another part, or the part of another file, is given up and the whole asked for', async () => {
  const parts: [number, Record<string, string>][] = [
    [416, {}],
    [206, range('bytes 9-99/100')],
    [206, range('bytes 10-98/100')],
    [206, range('bytes 10-99/*')],
    [206, range('pages 10-99/100')],
    [206, range('bytes 10-99/100', '"c"')],
    [206, range('bytes 10-99/100', 'W/"a"')],
    [206, { 'content-range': 'bytes 10-99/100' }],
    [206, { etag: '"a"' }],
  ];
  for (const [status, headers] of parts) {
    const disposed: number[] = [];
    const { asked, offset, etag } = await resumed(answerOf(status, headers, disposed), whole);
    assert.deepEqual([asked, offset, etag], [['bytes=10-', undefined], 0, '"b"'], JSON.stringify(headers));
    assert.deepEqual(disposed, [status]);
  }
});

test('nothing is resumed without a tag to prove that the file is the same', async () => {
  const asked: (string | undefined)[] = [];
  const ask = async (given: string | undefined) => {
    asked.push(given);
    return whole;
  };
  await openRange({ offset: 10, etag: undefined }, ask, 'x');
  await openRange({ offset: 0, etag: '"a"' }, ask, 'x');
  assert.deepEqual(asked, [undefined, undefined]);
});

test('a part where the whole was asked for is refused', async () => {
  const ask = async () => answerOf(206, range('bytes 0-9/100'));
  await assert.rejects(openRange({ offset: 0, etag: undefined }, ask, 'fraud 7'), {
    code: 'FAILED_PRECONDITION',
    message: 'fraud 7: the server sends a part where the whole was asked for',
  });
});

test('weak and malformed tags are none', () => {
  for (const etag of ['W/"a"', 'a', '"a', '"a"b"', '']) assert.equal(strongTagOf({ etag }), undefined, etag);
  assert.equal(strongTagOf({}), undefined);
  assert.equal(strongTagOf({ etag: '"5f-3"' }), '"5f-3"');
});

test('a status means what the caller should do, and its answer is let go', () => {
  const codes = { 401: 'UNAUTHENTICATED', 403: 'PERMISSION_DENIED', 404: 'NOT_FOUND', 410: 'NOT_FOUND' };
  const others = { 412: 'FAILED_PRECONDITION', 400: 'FAILED_PRECONDITION', 204: 'FAILED_PRECONDITION' };
  for (const [status, code] of Object.entries({ ...codes, ...others })) {
    const disposed: number[] = [];
    assert.equal(refusalOf(answerOf(Number(status), {}, disposed), 'x').code, code, status);
    assert.deepEqual(disposed, [Number(status)]);
  }
});
