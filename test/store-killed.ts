/** What the killed process of the store's tests was pulling; whoever comes after it pulls the same. */
import type { FakeFiles } from './store-source.js';

/** Above a mebibyte a file is gone on with by the next process. */
export const largeBytes = 3 * 1024 * 1024;
const large = Buffer.alloc(largeBytes, 'weights ');

export function killedFiles(onChunk: (from: number) => void | Promise<void> = () => {}): FakeFiles {
  return {
    'model.onnx': 'model',
    'weights.bin': { content: large, etag: 'e1', bytes: 'right', onChunk },
    'golden/0.json': '{}',
  };
}
