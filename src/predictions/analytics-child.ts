/**
 * The analytics child: one job at a time, each with a database of its own. It stands behind those who serve (nice 10): a
 * conversion may take a core for a second.
 *
 * Must not know who asks. It ends when its parent does.
 */
import { constants, setPriority } from 'node:os';
import { GatewayError } from '../core/errors.js';
import type { Job, Results } from './jobs.js';
import { convertLabels } from './label-parquet.js';
import { convert, rewrite } from './parquet.js';
import { columns, explain, exportTo, query, read, tail } from './query.js';

export interface ToChild {
  readonly id: number;
  readonly job: Job;
}

export interface FromChild {
  readonly id: number;
  readonly result?: Results[keyof Results];
  readonly error?: {
    readonly code: GatewayError['code'];
    readonly message: string;
    readonly cause: string | undefined;
  };
}

function run(job: Job): Promise<Results[keyof Results]> {
  switch (job.kind) {
    case 'convert':
      return convert(job);
    case 'labels':
      return convertLabels(job);
    case 'query':
      return query(job);
    case 'export':
      return exportTo(job);
    case 'explain':
      return explain(job);
    case 'tail':
      return tail(job);
    case 'read':
      return read(job);
    case 'rewrite':
      return rewrite(job);
    case 'columns':
      return columns(job);
  }
}

async function answer({ id, job }: ToChild): Promise<FromChild> {
  try {
    return { id, result: await run(job) };
  } catch (error) {
    const { code, message } = GatewayError.from(error);
    // What lies behind an internal error is for the log alone.
    const cause = error instanceof GatewayError ? undefined : String(error);
    return { id, error: { code, message, cause } };
  }
}

if (process.send !== undefined) {
  setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
  process.on('message', async (message: ToChild) => {
    const reply = await answer(message);
    if (process.connected) process.send!(reply);
  });
  process.on('disconnect', () => process.exit(0));
}
