/** Baseline `cluster`: fastify in two processes that share a port by node:cluster. `node cluster.js <model> <model.onnx>` */
import cluster from 'node:cluster';
import { listen } from './fastify-app.js';

const processes = 2;
const [model = '', file = ''] = process.argv.slice(2);

if (cluster.isPrimary) {
  let ready = 0;
  for (let i = 0; i < processes; i++) {
    cluster.fork().on('message', (port: number) => {
      ready++;
      if (ready === processes) console.log(`listening ${port}`);
    });
  }
  cluster.on('exit', () => process.exit(1));
} else {
  // Workers that ask for port 0 share the same free one.
  process.send!(await listen(model, file, 0));
}
