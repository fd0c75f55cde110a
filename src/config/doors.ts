/**
 * `http:`, `grpc:` and `admin:` – the ports that are open, what is taken there, and who may ask.
 *
 * Must not know protocols.
 */
import { z } from 'zod';
import { adminTokens, adminTokensExpected } from './admin-tokens.js';
import { absent, bytes, choice, GiB, integer, KiB, MiB, structure, text, toggle } from './option.js';

const hostRule = { pattern: /^[A-Za-z0-9.:_-]{1,253}$/, expected: 'a host name or an address' };

export const http = z.object({
  enabled: toggle(true, 'Serve the protocol over HTTP.'),
  port: integer(8000, 0, 65_535, 'Port of HTTP; 0 = any free one.'),
  host: text('0.0.0.0', 'Address that HTTP is served on.', hostRule),
  engine: choice('auto', ['auto', 'uws', 'uws-glibc227', 'node'], 'HTTP library; auto takes the fastest that loads.'),
  max_input_size: bytes(64 * MiB, KiB, 2 * GiB - 1, 'Largest request body, after decompression.'),
  max_buffered_bytes: bytes(512 * MiB, MiB, 64 * GiB, 'Request bodies held at once by one process.'),
  body_timeout_ms: integer(30_000, 100, 3_600_000, 'Time to receive the body of a request.'),
  write_timeout_ms: integer(30_000, 100, 3_600_000, 'Time that a response may stand still while it is written.'),
  compression_min_bytes: bytes(1024, 0, GiB, 'Replies below this size are not compressed.'),
  header_forward_pattern: absent('', 'Request headers that become request parameters.'),
});

export const grpc = z.object({
  enabled: toggle(true, 'Serve the protocol over gRPC.'),
  port: integer(8001, 0, 65_535, 'Port of gRPC; 0 = any free one.'),
  host: text('0.0.0.0', 'Address that gRPC is served on.', hostRule),
  engine: choice(
    'auto',
    ['auto', 'own', 'grpc-js'],
    'What answers gRPC: our own HTTP/2, or the library, which is slower; auto = own.',
  ),
  max_message_size: bytes(64 * MiB, KiB, 2 * GiB - 1, 'Largest message, after decompression.'),
  max_typed_elements: integer(8_388_608, 1, 1_000_000_000, 'Elements in the typed contents of one message.'),
  stream_max_in_flight: integer(
    64,
    1,
    10_000,
    'Requests of one stream that run at once; the stream is not read beyond that.',
  ),
  reflection: toggle(false, 'Answer server reflection.'),
  response_compression: choice('none', ['none', 'low', 'medium', 'high'], 'Compression of replies.'),
  max_connection_age_ms: integer(
    300_000,
    1000,
    86_400_000,
    'A connection is asked to reconnect after this time, ±10 %, so that load spreads.',
  ),
  max_concurrent_streams: integer(256, 1, 65_536, 'Streams of one connection.'),
  write_timeout_ms: integer(
    30_000,
    100,
    3_600_000,
    'Time that a caller may take nothing of what it asked for; not with engine grpc-js.',
  ),
});

export const admin = z.object({
  enabled: toggle(true, 'Open the control port: metrics, admin API.'),
  port: integer(8002, 0, 65_535, 'Port of the control listener; 0 = any free one.'),
  host: text(
    '127.0.0.1',
    'Address of the control listener. Another than loopback needs admin.token or admin.tokens.',
    hostRule,
  ),
  token: text('', 'Token that callers of the control port present as "Authorization: Bearer …"; empty = none.', {
    pattern: /^([!-~]{16,512})?$/,
    expected: 'at least 16 visible ASCII characters, or nothing',
    isSecret: true,
  }),
  tokens: structure(
    adminTokens,
    {},
    {
      description:
        'Tokens of the control port by name, each with a role; beside admin.token, which has the role admin.',
      expected: adminTokensExpected,
      isSecret: true,
    },
  ),
  metrics_open: toggle(false, 'Answer /metrics without a token.'),
});
