/**
 * The repository that the conformance cases are asked of.
 *
 * Must not know who asks.
 */
import {
  addSub,
  carriedTypes,
  constantOnly,
  dense,
  divInt,
  identity,
  mixesRows,
  nanOut,
  noBatch,
  refusesShape,
  scalar,
  slow,
  twoDynamicDims,
  writeRepository,
} from '../fixtures.js';

/** Requests wait 30 ms for each other, so that a test decides who shares a batch. */
const gathering = 'dynamic_batching { max_queue_delay_microseconds: 30000 }';

const classes = `max_batch_size: 8
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "labels.txt" } ]
dynamic_batching {
  priority_levels: 2
  default_priority_level: 2
  default_queue_policy { allow_timeout_override: true max_queue_size: 64 }
}
parameters { key: "owner" value { string_value: "tests" } }`;

/** @returns the directory */
export function writeModels(directory: string): string {
  const echoes = carriedTypes.map((datatype) => [`echo_${datatype}`, identity(datatype, ['batch'])] as const);
  return writeRepository(directory, {
    ...Object.fromEntries(echoes),
    simple: addSub(),
    two: { versions: { 1: identity(), 2: mixesRows() } },
    scalar: scalar(),
    constant: constantOnly(),
    fixed: noBatch(),
    series: twoDynamicDims(),
    matrix: identity('FP32'),
    non_finite: nanOut(),
    dense: dense(),
    classes: {
      versions: { 1: identity('FP32', ['batch', 4]) },
      beside: { 'config.pbtxt': classes, 'labels.txt': 'cat\ndog\n' },
    },
    picky: refusesShape(),
    divide: { versions: { 1: divInt(['batch', 1]) }, beside: { 'config.pbtxt': gathering } },
    gather: { versions: { 1: addSub('INT32', ['batch', 2]) }, beside: { 'config.pbtxt': gathering } },
    slow: slow(),
  });
}

/** One slow model whose queue holds a single request, and one whose answers JSON has no words for. @returns the directory */
export function writeCrowded(directory: string): string {
  const queue =
    'dynamic_batching { default_queue_policy { max_queue_size: 1 default_timeout_microseconds: 20000000 allow_timeout_override: true } }';
  return writeRepository(directory, {
    slow: { versions: { 1: slow() }, beside: { 'config.pbtxt': queue } },
    non_finite: nanOut(),
  });
}

/** @returns the directory */
export function writeSmall(directory: string): string {
  return writeRepository(directory, { simple: addSub(), slow: slow() });
}
