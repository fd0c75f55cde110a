/**
 * `engine:` – how a version runs; `batching:` – which requests run together, and how long they may wait for it.
 *
 * Must not know the runtime.
 */
import { z } from 'zod';
import { choice, integer, toggle } from './option.js';

export const engine = z.object({
  inline_run_us: integer(
    500,
    0,
    10_000,
    'Batches expected to run for less than this run without a hop to a thread; 0 = never.',
  ),
  instances: integer(
    0,
    0,
    256,
    'Threads that run a version in each process; 0 = cores by intra_op_threads, shared by the processes.',
  ),
  intra_op_threads: integer(1, 1, 256, 'Threads of the runtime inside one operator.'),
  inter_op_threads: integer(
    1,
    1,
    256,
    'Threads of the runtime across operators; counts only with execution_mode parallel.',
  ),
  execution_mode: choice(
    'sequential',
    ['sequential', 'parallel'],
    'Whether operators of one run may run side by side.',
  ),
  optimization: choice(
    'all',
    ['disabled', 'basic', 'extended', 'layout', 'all'],
    'How far the runtime rewrites the graph.',
  ),
  cpu_mem_arena: toggle(true, 'Let the runtime keep memory between runs.'),
  mem_pattern: toggle(true, 'Let the runtime plan memory by the pattern of earlier runs.'),
  hard_run_timeout_ms: integer(60_000, 100, 86_400_000, 'A run beyond this costs its process, which is replaced.'),
});

export const batching = z.object({
  default_max_batch_size: integer(
    32,
    1,
    65_536,
    'Rows merged into one run of a model whose configuration does not say.',
  ),
  max_queue_delay_us: integer(
    0,
    0,
    1_000_000,
    'Longest wait of a request for others to join its batch; 0 = go at once.',
  ),
  max_queue_size: integer(
    0,
    0,
    1_000_000,
    'Requests that may wait for a version in one process; 0 = the larger of 1024 and 4 full batches for each thread.',
  ),
  default_timeout_ms: integer(
    0,
    0,
    3_600_000,
    'Longest time in the queue; 0 = four times the slow run time of the model, 1 to 30 seconds.',
  ),
  priority_aging_ms: integer(500, 1, 3_600_000, 'Waiting this long raises a request by one priority level.'),
});
