/**
 * What may be set for a single model. A value that is absent is the one that applies to all, or the model's own.
 *
 * Must not know which models exist.
 */
import { z } from 'zod';
import { choice, integer, toggle } from './option.js';
import { versionPolicy } from './version-policy.js';

/** The option without its default: absent stays absent. */
function only<Check extends z.ZodType>(option: z.ZodDefault<Check>): z.ZodOptional<Check> {
  return option.unwrap().optional().meta(option.meta()!);
}

const modelOverride = z.strictObject({
  instances: only(integer(0, 0, 256, 'Threads that run it in each process; 0 = automatic.')),
  max_batch_size: only(
    integer(0, 0, 65_536, 'Rows merged into one run; 0 = not batched. A larger request is refused.'),
  ),
  max_queue_delay_us: only(integer(0, 0, 1_000_000, 'Longest wait for others to join a batch.')),
  max_queue_size: only(integer(0, 0, 1_000_000, 'Requests that may wait in one process; 0 = automatic.')),
  default_timeout_ms: only(integer(0, 0, 3_600_000, 'Longest time in the queue; 0 = automatic.')),
  priority_levels: only(integer(0, 0, 100, 'Priority levels of its requests; 0 = one only.')),
  priority: only(integer(1, 1, 100, 'Level of requests that ask for none; 1 is the highest.')),
  rank: only(choice('primary', ['primary', 'background'], 'Background versions never run before primary ones.')),
  version_policy: versionPolicy.optional().meta({
    description: 'Which of its versions are served.',
    expected: '{latest: {n: 1}}, all, or {specific: [1, 2]}',
  }),
  approvals: z
    .strictObject({
      required: z.int().min(0).max(16).default(1),
      roles: z
        .array(z.enum(['reviewer', 'owner']))
        .min(1)
        .default(['reviewer', 'owner']),
      distinct_from_requester: z.boolean().default(true),
      expires_s: z.int().min(60).max(31_536_000).default(604_800),
      // Absent stays absent: approvals given under a policy without these are for the same configuration.
      canary: z.enum(['off', 'require']).optional(),
      profile: z.enum(['off', 'require']).optional(),
    })
    .optional()
    .meta({
      description:
        'How many people must agree before another version answers by default, and with canary: require also before a route gives one a share; profile: require asks it for a reference profile then. A token of an operator is a reviewer, of an admin an owner.',
      expected:
        '{required: 2, roles: [reviewer, owner], distinct_from_requester: true, expires_s: 604800, canary: off, profile: off}',
    }),
  response_cache: only(toggle(false, 'Equal inputs have equal answers: with cache.enabled they are kept.')),
  allow_breaking: only(toggle(false, 'A newer version may take over although its inputs or outputs differ.')),
  intra_op_threads: only(integer(1, 1, 256, 'Threads of the runtime inside one operator.')),
  inter_op_threads: only(integer(1, 1, 256, 'Threads of the runtime across operators.')),
  execution_mode: only(
    choice('sequential', ['sequential', 'parallel'], 'Whether operators of one run may run side by side.'),
  ),
  optimization: only(
    choice('all', ['disabled', 'basic', 'extended', 'layout', 'all'], 'How far the runtime rewrites the graph.'),
  ),
});

/** What may be set, by name. */
export const overrideOptions: Readonly<Record<string, z.ZodType>> = modelOverride.shape;

export const overrides = z.record(z.string().min(1).max(128), modelOverride);
