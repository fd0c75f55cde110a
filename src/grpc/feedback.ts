/**
 * sluice.Feedback/Give: labels in their message, in the form in which HTTP sends them.
 *
 * Must not know what becomes of a label.
 */
import type { DataPlane } from '../core/inference.js';
import { checkedModel } from '../core/relay.js';
import type { UnaryCall } from './calls.js';

/** As the proto loader reads it: what is not there has its default, what is optional may be missing. */
interface LabelMessage {
  readonly request_id: string;
  readonly item_index: number;
  readonly label: string;
  readonly label_key: string;
  readonly ts?: string;
  readonly source: string;
  readonly weight?: number;
}

export function createFeedback(plane: DataPlane): UnaryCall {
  return async (request: { model_name: string; labels: readonly LabelMessage[] }, { authorization = '' }) => {
    const model = checkedModel(request.model_name);
    const body = request.labels.map(fromMessage);
    return (await plane.relay({ call: 'feedback', model, body, authorization })) as object;
  };
}

function fromMessage({ request_id, item_index, label, label_key, ts, source, weight }: LabelMessage): object {
  return {
    request_id,
    item_index,
    label,
    ...(label_key !== '' && { label_key }),
    ...(ts !== undefined && { ts: Number(ts) }),
    ...(source !== '' && { source }),
    ...(weight !== undefined && { weight }),
  };
}
