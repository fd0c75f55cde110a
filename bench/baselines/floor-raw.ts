/**
 * Floor `floor-raw`: onnxruntime-node as its own documentation uses it, in a loop: one session with the settings it has by
 * itself, which give one run all cores, and the next run when the last one has answered.
 *
 *   node floor-raw.js <model.onnx> <rows> <seconds> <shape of a row>
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { printLoop, rowsOf } from './floor-loop.js';

const [file = '', rows = '1', seconds = '1', rowShape = '1'] = process.argv.slice(2);
const session = await InferenceSession.create(file);
const shape = [Number(rows), ...rowShape.split(',').slice(1).map(Number)];
const inputs = { [session.inputNames[0]!]: new Tensor('float32', rowsOf(shape), shape) };
await printLoop(Number(seconds), () => session.run(inputs));
