/**
 * Floor `floor-ort`: the runtime in a bare loop on one thread, with nothing to read, copy or answer.
 *
 *   node floor-ort.js <model.onnx> <rows> <seconds> <shape of a row>
 *
 * By the binding and the settings of the gateway, so as many of these as it has threads are the most that it could give.
 */
import type { Tensor } from '../../src/core/tensor.js';
import { openSession } from '../../src/engine/session.js';
import { sessionPolicy } from '../suite/session-policy.js';
import { printLoop, rowsOf } from './floor-loop.js';

const [file = '', rows = '1', seconds = '1', rowShape = '1'] = process.argv.slice(2);
const session = await openSession(file, sessionPolicy);
const shape = [Number(rows), ...rowShape.split(',').slice(1).map(Number)];
const { name, datatype } = session.inputs[0]!;
const inputs: Tensor[] = [{ name, datatype, shape, data: rowsOf(shape) }];
await printLoop(Number(seconds), () => session.run(inputs));
