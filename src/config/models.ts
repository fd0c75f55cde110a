/**
 * `models:` – which versions are served and when they are opened; `registry:` – where they come from and where our own copies
 * of them are.
 *
 * Must not know the files of a model.
 */
import { z } from 'zod';
import { bytes, choice, GiB, integer, KiB, MiB, structure, text } from './option.js';
import { identities, sources } from './registry-sources.js';
import { versionPolicy } from './version-policy.js';

export const models = z.object({
  path: text('models', 'Folder of models: <model>/<version>/model.onnx, or one bare model.onnx.'),
  name: text('model', 'Name of the model when the folder holds one bare model.onnx.', {
    pattern: /^(?!stats$)(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
    expected:
      "a model name: 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit, and not 'stats'",
  }),
  load: choice(
    'eager',
    ['eager', 'lazy', 'explicit'],
    'When versions are opened: at start, at their first request, or by load calls only.',
  ),
  version_policy: structure(
    versionPolicy,
    { latest: { n: 1 } },
    {
      description: 'Which versions of each model are served.',
      expected: '{latest: {n: 1}}, all, or {specific: [1, 2]}',
    },
  ),
  lazy: z.object({
    max_open: integer(
      32,
      1,
      100_000,
      'Versions open at once under load policy lazy; the one unused for longest is closed.',
    ),
    max_bytes: bytes(GiB, MiB, 1024 * GiB, 'Size of the model files open at once under load policy lazy.'),
  }),
  poll_ms: integer(5000, 0, 86_400_000, 'How often the folder is looked at for new versions; 0 = at start only.'),
  load_retries: integer(
    3,
    0,
    100,
    'How often a load that failed is tried again soon, later each time; then once a minute; 0 = never.',
  ),
  keep_previous_ms: integer(
    60_000,
    0,
    86_400_000,
    'How long the version before stays open after a new one answers, so that a rollback takes no time.',
  ),
  guard_ms: integer(
    60_000,
    0,
    60_000,
    'How long a version that took over is compared with the one before, and goes back when it fails, crawls or crashes; 0 = not.',
  ),
});

export const registry = z.object({
  sources: structure(sources, [], {
    description: 'Where versions come from; none = the folder of models.path.',
    expected: '[{name: local, type: directory, path: models}, …], see the README for mlflow, oci, s3 and http',
  }),
  store: z.object({
    path: text('.sluice/store', 'Folder of our own copy of every version that is served.'),
    max_bytes: bytes(20 * GiB, MiB, 1024 * 1024 * GiB, 'Size of the store; what nobody uses goes first.'),
    max_file_bytes: bytes(8 * GiB, KiB, 1024 * GiB, 'Largest file of a version.'),
    max_version_bytes: bytes(16 * GiB, KiB, 1024 * GiB, 'Largest version.'),
    keep_versions: integer(3, 1, 1000, 'Newest versions of each model that stay in the store.'),
  }),
  trust: text('', 'Folder of PEM public keys by which signatures are judged; empty = none.'),
  trusted_root: text(
    '',
    'File of the authorities by which keyless signatures are judged, a TrustedRoot as Sigstore publishes it; empty = none.',
  ),
  identities: structure(identities, [], {
    description: 'Who is expected to sign keyless, each by the name in the certificate and who gave it.',
    expected:
      '[{identity: ci@example.org, issuer: "https://accounts.example.org"}, …], or identity_regexp: a pattern for all of the name',
  }),
});
