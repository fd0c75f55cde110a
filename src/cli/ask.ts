/**
 * One HTTP question to a running gateway, and its failures as sentences.
 *
 * The answer is bounded in size and in time. Integers beyond 2^53 come back as texts with all their digits, and so do the bare
 * NaN and Infinity that the protocol allows.
 *
 * Must not know commands.
 */
import { Exit } from './exit.js';

export interface Question {
  readonly url: string;
  readonly method?: 'GET' | 'POST';
  readonly body?: string;
  readonly token?: string | undefined;
  /** For the message when nobody answers: `the control port`. */
  readonly of: string;
  readonly timeoutMs?: number;
}

const answerBytesMax = 256 * 2 ** 20;

/** @throws Exit 1 when nobody answers or the answer is an error, Exit 2 when the address is none */
export async function ask(question: Question): Promise<unknown> {
  const { url, method = 'GET', body, token, timeoutMs = 60_000 } = question;
  if (!URL.canParse(url) || !/^https?:/.test(url))
    throw new Exit(2, `expected an address like http://127.0.0.1:8000, got ${url}`);
  const headers: Record<string, string> = { accept: 'application/json' };
  if (token !== undefined && token !== '') headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method,
      headers,
      body: body ?? null,
      signal: AbortSignal.timeout(timeoutMs),
      redirect: 'error',
    });
    text = await bounded(response);
  } catch (error) {
    throw new Exit(1, `${question.of} did not answer at ${new URL(url).origin}: ${reasonOf(error, timeoutMs)}`);
  }
  const answer = parseAnswer(text);
  if (response.ok && answer !== undefined) return answer;
  const { error = answer === undefined ? 'the answer is not JSON' : 'no reason given' } = (answer ?? {}) as {
    error?: unknown;
  };
  throw new Exit(1, `${question.of} answered ${response.status}: ${String(error)}`);
}

async function bounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > answerBytesMax) throw new Error(`the answer is larger than ${answerBytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function reasonOf(error: unknown, timeoutMs: number): string {
  const { name, message, cause } = error as Error & { cause?: { code?: string; message?: string } };
  if (name === 'TimeoutError') return `no answer within ${timeoutMs} ms`;
  if (cause?.code === 'ECONNREFUSED') return 'nothing listens there; is "sluice serve" running?';
  return cause?.message ?? message;
}

/** @returns undefined when it is no JSON */
export function parseAnswer(text: string): unknown {
  const quoted = text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN|(?<![\w.+-])-?\d{16,}(?![\d.eE])/g, (token) =>
    token.startsWith('"') ? token : `"${token}"`,
  );
  try {
    return JSON.parse(quoted);
  } catch {
    return undefined;
  }
}
