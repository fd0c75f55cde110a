/**
 * Labels over HTTP: one object, a list of at most 1,000, or a line for each. They are passed up to control as they are.
 *
 * A process has a few such calls under way at a time, so that a flood of labels costs no more memory than those.
 *
 * Must not know what a label is.
 */
import { GatewayError, invalid } from '../core/errors.js';
import type { DataPlane } from '../core/inference.js';
import { errorAnswer, jsonAnswer } from './answers.js';
import { jsonValueOf } from './json-value.js';
import type { BodyConsumer, HttpRequest, HttpResponse } from './transport.js';

/** A thousand labels with long ids. */
const bodyBytesMax = 4 * 1024 * 1024;
const callsMax = 64;
const linesMax = 1000;
const lineTypes = /^application\/(jsonl|jsonlines|x-ndjson|ndjson)\b/;

/** Which model, and who says so. */
interface Labelled {
  readonly model: string;
  readonly authorization: string;
}

export class FeedbackCalls {
  #underWay = 0;

  /** @throws INVALID_ARGUMENT, RESOURCE_EXHAUSTED before a body is read */
  admit(plane: DataPlane, model: string, request: HttpRequest, jsonDepthMax: number): BodyConsumer {
    if (this.#underWay >= callsMax) throw tooMany();
    const authorization = request.header('authorization') ?? '';
    const isLines = lineTypes.test(request.header('content-type') ?? '');
    return {
      consume: (body) => this.#pass(plane, { model, authorization }, () => valueIn(body, isLines, jsonDepthMax)),
      refuse: (status, error) => errorAnswer(error, status),
    };
  }

  async #pass(plane: DataPlane, by: Labelled, read: () => unknown): Promise<HttpResponse> {
    if (this.#underWay >= callsMax) return errorAnswer(tooMany());
    this.#underWay++;
    try {
      return jsonAnswer(200, await plane.relay({ call: 'feedback', ...by, body: read() }));
    } catch (thrown) {
      return errorAnswer(GatewayError.from(thrown));
    } finally {
      this.#underWay--;
    }
  }
}

function tooMany(): GatewayError {
  return new GatewayError('RESOURCE_EXHAUSTED', 'feedback: too many calls at once', {
    reason: 'quota',
    retryAfterMs: 1000,
  });
}

function valueIn(body: Buffer, isLines: boolean, jsonDepthMax: number): unknown {
  if (body.length > bodyBytesMax) throw invalid(`feedback: expected at most ${bodyBytesMax} bytes, got ${body.length}`);
  if (!isLines) return jsonValueOf(body, jsonDepthMax);
  const lines = body.toString('utf8').split('\n', linesMax + 2);
  return lines.filter((line) => line.trim() !== '').map((line) => jsonValueOf(Buffer.from(line), jsonDepthMax));
}
