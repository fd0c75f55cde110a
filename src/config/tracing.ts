/**
 * `tracing:` – which requests become spans, and who takes them.
 *
 * Must not know what a span says.
 */
import { z } from 'zod';
import { factsOf, integer, share, text } from './option.js';

const endpoint = text('', 'Collector that takes spans as OTLP over HTTP, without /v1/traces; empty = no tracing.', {
  pattern: /^(https?:\/\/[A-Za-z0-9.:_[\]-]{1,253}(\/[!"$->@-~]*)?)?$/,
  expected: 'a URL such as http://localhost:4318, or nothing',
});

export const tracing = z.object({
  endpoint: endpoint.refine((url) => url === '' || URL.canParse(url)).meta({ ...factsOf(endpoint) }),
  sample: share(0.001, 'Share of requests that are traced; those of a caller that is traced itself always are.'),
  service_name: text('sluice', 'Name of this service in its spans.', {
    pattern: /^[ -~]{1,128}$/,
    expected: '1 to 128 printable ASCII characters',
  }),
  headers_env: text(
    '',
    'Environment variable with headers for the collector, as name=value,name=value; empty = none.',
    {
      pattern: /^([A-Za-z_][A-Za-z0-9_]{0,127})?$/,
      expected: 'the name of an environment variable, or nothing',
    },
  ),
  timeout_ms: integer(10_000, 100, 60_000, 'Time that the collector has to take a batch.'),
  queue_max: integer(
    2048,
    64,
    100_000,
    'Traced requests of one process that wait for the collector; more are dropped.',
  ),
});
