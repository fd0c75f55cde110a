/** Baseline `fastify`: one process. `node fastify.js <model> <model.onnx>` */
import { listen } from './fastify-app.js';

const [model = '', file = ''] = process.argv.slice(2);
console.log(`listening ${await listen(model, file, 0)}`);
