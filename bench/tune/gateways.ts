/**
 * Gateways of our own, one for each candidate: started on free ports of this machine, with the one model loaded.
 *
 * What is configured already stays in force, but for what the candidate says. No other model is loaded, for idle threads of
 * others would only blur the answer.
 *
 * Must not know load or how a candidate is judged.
 */
import { ask } from '../../src/cli/ask.js';
import { Exit } from '../../src/cli/exit.js';
import type { Config } from '../../src/config/schema.js';
import { type Gateway, reasonIn, startGateway } from '../suite/servers.js';
import type { Candidate } from './candidate.js';

export interface Site {
  readonly models: string;
  readonly model: string;
  readonly config: Config;
}

/** What is in force for the model, as the gateway says. */
export interface Known {
  readonly candidate: Candidate;
  /** Most rows of one run that the model's own configuration allows; undefined = it does not say. */
  readonly ownRowsMax: number | undefined;
}

/** @throws Exit 1 when the gateway does not start or the model cannot be loaded */
export async function openGateway({ models, model, config }: Site, candidate?: Candidate): Promise<Gateway> {
  const overrides = {
    ...config.model_overrides,
    [model]: { ...config.model_overrides[model], ...optionsOf(candidate) },
  };
  return openWith({ models, model, env: { SLUICE_MODEL_OVERRIDES: JSON.stringify(overrides) } });
}

/** The names that the configuration has for it. */
export function optionsOf(candidate: Candidate | undefined): Readonly<Record<string, number>> {
  if (candidate === undefined) return {};
  const { instances, intraOpThreads, rowsMax, delayUs } = candidate;
  const threads = { instances, intra_op_threads: intraOpThreads };
  return rowsMax === 0 ? threads : { ...threads, max_batch_size: rowsMax, max_queue_delay_us: delayUs };
}

/** Without these, one of ours could not be asked anything, whatever the configuration in force says. */
const trialFlags = [
  ['--load', 'explicit'],
  ['--http-enabled', 'true'],
  ['--grpc-enabled', 'true'],
  ['--admin-enabled', 'true'],
  ['--admin-host', '127.0.0.1'],
  ['--admin-metrics-open', 'true'],
  ['--relay-change', 'loopback'],
  ['--log-level', 'info'],
].flat();

async function openWith(options: {
  readonly models: string;
  readonly model: string;
  readonly env: Readonly<Record<string, string>>;
}): Promise<Gateway> {
  const { models, model, env } = options;
  const gateway = await startGateway({ models, flags: trialFlags, env }).catch((error: Error) => {
    throw new Exit(1, `a gateway for the trial did not start: ${reasonIn(error.message)}`);
  });
  try {
    const url = `${gateway.http}/v2/repository/models/${encodeURIComponent(model)}/load`;
    await ask({ url, method: 'POST', body: '{}', of: 'the gateway of the trial' });
    return gateway;
  } catch (error) {
    await gateway.stop();
    throw error;
  }
}

/** Asked of a gateway whose default batch size is one that no model names, so that it shows who set it. */
export async function askKnown({ models, model, config }: Site): Promise<Known> {
  const defaultRows = config.batching.default_max_batch_size;
  const odd = defaultRows + 1;
  const gateway = await openWith({ models, model, env: { SLUICE_BATCHING_DEFAULT_MAX_BATCH_SIZE: String(odd) } });
  try {
    const url = `${gateway.http}/v2/models/${encodeURIComponent(model)}/config`;
    const answer = (await ask({ url, of: 'the gateway of the trial' })) as {
      readonly max_batch_size?: number;
      readonly instance_group?: readonly { readonly count?: number }[];
    };
    const rowsMax = answer.max_batch_size ?? 0;
    const isOwn = rowsMax !== odd;
    const own = config.model_overrides[model];
    return {
      candidate: {
        instances: answer.instance_group?.[0]?.count ?? 1,
        intraOpThreads: own?.intra_op_threads ?? config.engine.intra_op_threads,
        rowsMax: isOwn ? rowsMax : defaultRows,
        delayUs: own?.max_queue_delay_us ?? config.batching.max_queue_delay_us,
      },
      ownRowsMax: isOwn ? rowsMax : undefined,
    };
  } finally {
    await gateway.stop();
  }
}
