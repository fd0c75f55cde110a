/**
 * A gateway process that opens nothing: what it is told to open it asks the test about, by the way on which a real one asks
 * for what is known to control alone. `open` opens it, `die` ends the process, everything else is the reason why it cannot.
 */
import { GatewayError } from '../src/core/errors.js';
import type { VersionSpec } from '../src/core/model.js';
import type { RelayCall } from '../src/core/relay.js';
import { type FromGateway, failureOf, type Snapshot, type ToGateway } from '../src/ipc.js';

export interface OpenAsked {
  readonly process: number;
  readonly version: string;
  /** Told by the test, so that two specifications of one version can be told apart. */
  readonly mark: string | undefined;
  readonly kind: 'open' | 'drain';
}

const tell = (message: FromGateway) => process.send!(message);
const asked = new Map<number, VersionSpec>();
let number = 0;
let seq = 0;

function ask(call: OpenAsked): number {
  seq++;
  tell({ kind: 'ask', seq, call: call as unknown as RelayCall });
  return seq;
}

function answered(id: VersionSpec['id'], value: unknown): void {
  if (value === 'die') process.kill(process.pid, 'SIGKILL');
  else if (value === 'open') tell({ kind: 'opened', id });
  else tell({ kind: 'openFailed', id, failure: failureOf(new GatewayError('FAILED_PRECONDITION', String(value))) });
}

process.on('message', (message: ToGateway) => {
  switch (message.kind) {
    case 'configure':
      number = message.process;
      return;
    case 'open': {
      const { id, properties } = message.spec;
      const one = ask({ kind: 'open', process: number, version: id.version, mark: properties.mark });
      return void asked.set(one, message.spec);
    }
    case 'answer': {
      const spec = asked.get(message.seq);
      asked.delete(message.seq);
      return spec && answered(spec.id, message.value);
    }
    case 'drain':
      ask({ kind: 'drain', process: number, version: message.id.version, mark: undefined });
      return void tell({ kind: 'drained', id: message.id });
    case 'route':
      return void tell({ kind: 'routed', generation: message.table.generation });
    case 'listen': {
      const listening = { httpPort: 1, httpEngine: 'none', grpcPort: undefined, onnxruntime: '', incarnation: 1 };
      return void tell({ kind: 'listening', listening });
    }
    case 'ping':
      return void tell({ kind: 'pong', seq: message.seq, snapshot: {} as Snapshot, used: [] });
    case 'stop':
      return process.disconnect();
  }
});
tell({ kind: 'started' });
